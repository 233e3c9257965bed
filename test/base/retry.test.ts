import test from 'ava'
import fc from 'fast-check'
import type { Clock } from '../../src/base/clock.ts'
import { backoffMs, retry } from '../../src/base/retry.ts'

const backoff = { initialMs: 100, maxMs: 1000, factor: 2 }

/** A clock on which sleeping takes no time and is written down. */
function testClock(): Clock & { readonly slept: number[] } {
  const slept: number[] = []
  return {
    slept,
    now: () => 0,
    monotonicMs: () => 0,
    sleep: async (ms, signal) => {
      signal.throwIfAborted()
      slept.push(ms)
    },
  }
}

test('waits grow, stay within half and all of their step, and never exceed the longest', (t) => {
  fc.assert(
    fc.property(
      fc.nat(2000),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (attempt, random) => {
        const step = Math.min(backoff.maxMs, backoff.initialMs * backoff.factor ** attempt)
        const wait = backoffMs(backoff, attempt, () => random)
        t.true(wait >= Math.floor(step / 2) && wait <= step)
      },
    ),
  )
})

test('an operation is repeated until it succeeds', async (t) => {
  const clock = testClock()
  const seen: number[] = []
  const result = await retry(
    async (attempt) => {
      seen.push(attempt)
      if (attempt < 3) throw new Error('not yet')
      return 'done'
    },
    {
      backoff,
      clock,
      signal: new AbortController().signal,
      shouldRetry: () => true,
      random: () => 0,
    },
  )
  t.is(result, 'done')
  t.deepEqual(seen, [0, 1, 2, 3])
  t.deepEqual(clock.slept, [50, 100, 200])
})

test('an error that is not to be retried ends it', async (t) => {
  const fatal = new Error('fatal')
  const clock = testClock()
  const asked: unknown[] = []
  const failing = retry(() => Promise.reject(fatal), {
    backoff,
    clock,
    signal: new AbortController().signal,
    shouldRetry: (error, attempt) => {
      asked.push([error, attempt])
      return false
    },
    random: () => 0,
  })
  t.is(await t.throwsAsync(failing), fatal)
  t.deepEqual(asked, [[fatal, 0]])
  t.deepEqual(clock.slept, [])
})

test('an abort ends it with the reason, before a try and during a wait', async (t) => {
  const reason = new Error('the reason')
  const controller = new AbortController()
  let tries = 0
  const options = {
    backoff,
    clock: testClock(),
    signal: controller.signal,
    shouldRetry: () => true,
    random: () => 0,
  }
  const failing = retry(async () => {
    tries += 1
    if (tries === 2) controller.abort(reason)
    throw new Error('not yet')
  }, options)
  t.is(await t.throwsAsync(failing), reason)
  t.is(tries, 2)
  t.is(await t.throwsAsync(retry(async () => 'done', options)), reason)
})
