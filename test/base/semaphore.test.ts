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

test('whoever wants much waits for those who want little, and fills the queue for nobody', async (t) => {
  const { signal } = new AbortController()
  const semaphore = createSemaphore({ concurrent: 1, waiting: 10, waitingOfOne: 4 })
  const log: string[] = []
  let end = (): void => undefined
  const first = semaphore.run(() => new Promise<void>((resolve) => (end = resolve)), signal, 'a')
  const want = (party: string, name: string, until = signal): Promise<void> =>
    semaphore.run(async () => void log.push(name), until, party)
  const stop = new AbortController()
  const gone = want('c', 'c1', stop.signal)
  const all = ['a1', 'a2', 'a3', 'a4'].map((name) => want('a', name))
  await t.throwsAsync(want('a', 'a5'), { code: 'ERR_BUSY' })
  all.push(want('b', 'b1'), want('b', 'b2'), want('c', 'c2'))
  stop.abort(new RangeError('gone'))
  await t.throwsAsync(gone, { instanceOf: RangeError })
  end()
  await Promise.all([first, ...all])
  t.deepEqual(log, ['c2', 'a1', 'b1', 'a2', 'b2', 'a3', 'a4'])
  await want('a', 'again')
  t.is(log.at(-1), 'again')
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
