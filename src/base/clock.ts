import { setTimeout as sleepTimer } from 'node:timers/promises'

/**
 * Time as a dependency. `now` is wall time and may jump; `monotonicMs` only grows and is what
 * intervals and deadlines are measured by.
 */
export interface Clock {
  /** Wall time, milliseconds since 1970-01-01T00:00:00Z. */
  now(): number
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonicMs(): number
  /**
   * Resolves after `ms` milliseconds (at most 24 days), or rejects with the signal's reason when it
   * is aborted first.
   */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

/** Longest wait that one timer takes; a longer one would fire at once. */
const longestTimerMs = 2 ** 31 - 1

/** The machine's own clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      await sleepTimer(Math.min(ms, longestTimerMs), undefined, { signal, ref: false })
    } catch (error) {
      // The timer rejects with an error of its own that hides the reason in its cause.
      signal.throwIfAborted()
      throw error
    }
  },
}

const firstSecond = Date.parse('0000-01-01T00:00:00Z')
const lastSecond = Date.parse('9999-12-31T23:59:59Z')

/**
 * `ms` since 1970 as an RFC 3339 UTC time with whole seconds, as `2026-01-02T03:04:05Z`. Times that
 * the form cannot express, which a broken clock may give, become the nearest that it can.
 *
 * @throws RangeError when `ms` is not a number.
 */
export function rfc3339(ms: number): string {
  const expressible = Math.min(Math.max(ms, firstSecond), lastSecond)
  return `${new Date(expressible).toISOString().slice(0, 19)}Z`
}
