import type { Clock } from './clock.ts'

/** How waits grow between attempts. Every wait is jittered so that many clients do not march in step. */
export interface Backoff {
  /** First wait in milliseconds. */
  readonly initialMs: number
  /** Longest wait in milliseconds. */
  readonly maxMs: number
  /** Growth per attempt, 1 or more. */
  readonly factor: number
}

/** Wait before attempt `attempt` (0 is the first retry): full range between half and all of the step. */
export function backoffMs(backoff: Backoff, attempt: number, random: () => number): number {
  const step = Math.min(backoff.maxMs, backoff.initialMs * backoff.factor ** Math.min(attempt, 64))
  return Math.round(step / 2 + (step / 2) * random())
}

/**
 * Calls `operation` until it resolves, waiting between attempts, until `signal` is aborted (then
 * rejects with its reason) or `shouldRetry` says no (then rejects with the operation's error).
 */
export async function retry<T>(
  operation: (attempt: number) => Promise<T>,
  options: {
    readonly backoff: Backoff
    readonly clock: Clock
    readonly signal: AbortSignal
    readonly shouldRetry: (error: unknown, attempt: number) => boolean
    /** Uniform in [0, 1). */
    readonly random: () => number
  },
): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    options.signal.throwIfAborted()
    try {
      return await operation(attempt)
    } catch (error) {
      if (!options.shouldRetry(error, attempt)) throw error
      const wait = backoffMs(options.backoff, attempt, options.random)
      await options.clock.sleep(wait, options.signal)
    }
  }
}
