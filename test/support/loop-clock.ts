import { performance } from 'node:perf_hooks'
import { systemClock, type Clock } from '../../src/base/clock.ts'

const tickMs = 5
/** What a single turn of the event loop counts for at most. */
const longestTurnMs = 20

let passedMs = 0
let seenMs = performance.now()
const sleepers = new Set<{ readonly atMs: number; readonly wake: () => void }>()

function catchUp(): void {
  const now = performance.now()
  passedMs += Math.min(now - seenMs, longestTurnMs)
  seenMs = now
}

setInterval(() => {
  catchUp()
  const due = [...sleepers].filter(({ atMs }) => atMs <= passedMs)
  for (const sleeper of due.sort((a, b) => a.atMs - b.atMs)) sleeper.wake()
}, tickMs).unref()

/**
 * Time as the event loop of this process lives it: the system's, but that it hardly goes on while
 * the process has to wait for a processor. What takes some turns of the loop, such as an exchange
 * with a fake in this process, takes equally long on a machine that is busy.
 */
export const loopClock: Clock = {
  now: () => systemClock.now(),
  monotonicMs: () => passedMs + Math.min(performance.now() - seenMs, longestTurnMs),
  sleep: async (ms, signal) => {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const sleeper = {
      atMs: loopClock.monotonicMs() + ms,
      wake: () => {
        resolve(undefined)
      },
    }
    const abort = (): void => {
      reject(signal.reason as Error)
    }
    sleepers.add(sleeper)
    signal.addEventListener('abort', abort, { once: true })
    try {
      await promise
    } finally {
      sleepers.delete(sleeper)
      signal.removeEventListener('abort', abort)
    }
  },
}

const never = new AbortController().signal

/** Lets `ms` milliseconds of {@link loopClock} pass. */
export async function pause(ms: number): Promise<void> {
  const awake = setInterval(() => undefined, 60_000)
  try {
    await loopClock.sleep(ms, never)
  } finally {
    clearInterval(awake)
  }
}
