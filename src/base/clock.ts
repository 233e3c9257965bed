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
  /** Resolves after `ms` milliseconds, or rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

/** The machine's own clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: async (ms, signal) => {
    await sleepTimer(ms, undefined, { signal, ref: false })
  },
}

/** `ms` since 1970 as an RFC 3339 UTC time with whole seconds, as `2026-01-02T03:04:05Z`. */
export function rfc3339(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
