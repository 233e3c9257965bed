import test from 'ava'
import { setImmediate as turn } from 'node:timers/promises'
import { createSemaphore } from '../../src/base/semaphore.ts'

test('so many run at a time, in order, so many wait, and one more is refused', async (t) => {
  const { signal } = new AbortController()
  const semaphore = createSemaphore({ concurrent: 2, waiting: 3 })
  const log: number[] = []
  const ends: (() => void)[] = []
  const all = [0, 1, 2, 3, 4].map((n) =>
    semaphore.run(async () => {
      log.push(n)
      await new Promise<void>((resolve) => ends.push(resolve))
      return n
    }, signal),
  )
  await t.throwsAsync(
    semaphore.run(async () => 5, signal),
    { code: 'ERR_BUSY' },
  )
  t.deepEqual(log, [0, 1])
  while (ends.length > 0) {
    ends.shift()?.()
    await turn()
  }
  t.deepEqual(await Promise.all(all), [0, 1, 2, 3, 4])
  t.deepEqual(log, [0, 1, 2, 3, 4])
})

test('one that is aborted while it waits leaves the queue, and its place is nobody’s loss', async (t) => {
  const semaphore = createSemaphore({ concurrent: 1, waiting: 5 })
  const stop = new AbortController()
  const { signal } = new AbortController()
  let end = (): void => undefined
  const first = semaphore.run(() => new Promise<void>((resolve) => (end = resolve)), signal)
  const aborted = semaphore.run(async () => t.fail(), stop.signal)
  const last = semaphore.run(async () => 'last', signal)
  stop.abort(new RangeError('gone'))
  await t.throwsAsync(aborted, { instanceOf: RangeError })
  await t.throwsAsync(
    semaphore.run(async () => t.fail(), stop.signal),
    { instanceOf: RangeError },
  )
  end()
  await first
  t.is(await last, 'last')
})

test('work that fails gives its place back', async (t) => {
  const { signal } = new AbortController()
  const semaphore = createSemaphore({ concurrent: 1, waiting: 0 })
  for (let i = 0; i < 3; i += 1) {
    const failing = semaphore.run(async () => {
      throw new RangeError('no')
    }, signal)
    await t.throwsAsync(failing, { instanceOf: RangeError })
  }
  t.is(await semaphore.run(async () => 1, signal), 1)
})
