import test from 'ava'
import { once } from 'node:events'
import { runTasks, type Task } from '../../src/net/run-tasks.ts'

const untilAborted = async (signal: AbortSignal): Promise<void> => {
  if (!signal.aborted) await once(signal, 'abort')
}
const never = new AbortController().signal
const stopWithinMs = 1000

test('returns when every task has ended', async (t) => {
  const ended: string[] = []
  const task = (name: string): Task => ({
    name,
    run: async () => {
      await Promise.resolve()
      ended.push(name)
    },
  })
  await runTasks([task('a'), task('b')], { signal: never, stopWithinMs })
  t.deepEqual(ended, ['a', 'b'])
})

test('a task that ends leaves the others running, an abort ends them', async (t) => {
  const stop = new AbortController()
  let ended = false
  const all = runTasks(
    [
      { name: 'short', run: async () => undefined },
      {
        name: 'long',
        run: async (signal) => {
          await untilAborted(signal)
          ended = true
        },
      },
    ],
    { signal: stop.signal, stopWithinMs },
  )
  await Promise.resolve()
  t.false(ended)
  stop.abort()
  await all
  t.true(ended)
})

test('a failing task stops the others and its error is thrown', async (t) => {
  let stopped = false
  await t.throwsAsync(
    runTasks(
      [
        { name: 'bad', run: () => Promise.reject(new Error('broken')) },
        {
          name: 'good',
          run: async (signal) => {
            await untilAborted(signal)
            stopped = true
          },
        },
        {
          name: 'noisy',
          run: async (signal) => {
            await untilAborted(signal)
            throw new Error('later')
          },
        },
      ],
      { signal: never, stopWithinMs },
    ),
    { message: 'broken' },
  )
  t.true(stopped)
})

test('how a task ends after the abort does not matter', async (t) => {
  await t.notThrowsAsync(
    runTasks(
      [
        {
          name: 'a',
          run: async (signal) => {
            await untilAborted(signal)
            signal.throwIfAborted()
          },
        },
      ],
      {
        signal: AbortSignal.abort(),
        stopWithinMs,
      },
    ),
  )
})

test('a task that does not stop is named after the deadline', async (t) => {
  const forever = new Promise<void>(() => undefined)
  const error = await t.throwsAsync(
    runTasks(
      [
        { name: 'stuck', run: () => forever },
        { name: 'fine', run: untilAborted },
      ],
      { signal: AbortSignal.abort(), stopWithinMs: 20 },
    ),
    { code: 'ERR_DEADLINE' },
  )
  t.regex(error.message, /stuck$/)
})
