import { setTimeout as sleep } from 'node:timers/promises'

/**
 * How much longer than it was told {@link until} waits. Its deadlines are what a machine needs that
 * does nothing else, and they promise nothing: a busy machine must end no test that would pass.
 */
const indulgence = 3

/**
 * Asks `probe` again and again until it answers something other than `undefined` or `false`, and
 * resolves with that. Rejects after three times `timeoutMs`, naming what was waited for and the last
 * error. What must be there in time is measured by the test itself.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: { readonly timeoutMs: number; readonly everyMs?: number },
): Promise<T> {
  const timeoutMs = indulgence * options.timeoutMs
  const deadline = performance.now() + timeoutMs
  let cause: unknown
  do {
    try {
      const answer = await probe()
      if (answer !== undefined && answer !== false) return answer
      cause = undefined
    } catch (error) {
      cause = error
      if (error instanceof GivenUp) break
    }
    await sleep(options.everyMs ?? 50)
  } while (performance.now() < deadline)
  const reason = cause instanceof Error ? `: ${cause.message}` : ''
  throw new Error(`waited ${timeoutMs} ms for ${what}${reason}`, { cause })
}

/** Thrown by a probe that knows that waiting longer is in vain. */
export class GivenUp extends Error {
  override readonly name = 'GivenUp'
}
