import test from 'ava'
import { rfc3339, systemClock } from '../../src/base/clock.ts'

// The clock's own timers do not keep the process alive.
const alive = setInterval(() => undefined, 1000)
test.after.always(() => {
  clearInterval(alive)
})

test('a sleep ends when its time has passed', async (t) => {
  const before = systemClock.monotonicMs()
  await systemClock.sleep(20, new AbortController().signal)
  t.true(systemClock.monotonicMs() - before >= 19)
})

test('an aborted sleep rejects with the reason of its signal', async (t) => {
  const reason = new Error('the reason')
  const controller = new AbortController()
  const sleeping = systemClock.sleep(60_000, controller.signal)
  controller.abort(reason)
  t.is(await t.throwsAsync(sleeping), reason)
  t.is(await t.throwsAsync(systemClock.sleep(60_000, AbortSignal.abort(reason))), reason)
})

test('a sleep longer than a timer can take does not end at once', async (t) => {
  const controller = new AbortController()
  const long = systemClock.sleep(2 ** 32, controller.signal).then(
    () => 'woke',
    () => 'aborted',
  )
  await systemClock.sleep(20, new AbortController().signal)
  controller.abort()
  t.is(await long, 'aborted')
})

test('wall time is in milliseconds since 1970', (t) => {
  t.true(Math.abs(systemClock.now() - Date.now()) < 1000)
})

for (const [ms, text] of [
  [0, '1970-01-01T00:00:00Z'],
  [1_767_323_045_999, '2026-01-02T03:04:05Z'],
  [-62_167_219_200_000, '0000-01-01T00:00:00Z'],
  [-62_167_219_200_001, '0000-01-01T00:00:00Z'],
  [253_402_300_799_999, '9999-12-31T23:59:59Z'],
  [253_402_300_800_000, '9999-12-31T23:59:59Z'],
  [Infinity, '9999-12-31T23:59:59Z'],
] as const) {
  test(`${ms} ms is ${text}`, (t) => {
    t.is(rfc3339(ms), text)
  })
}

test('a time that is no number is a mistake of the caller', (t) => {
  t.throws(() => rfc3339(NaN), { instanceOf: RangeError })
})
