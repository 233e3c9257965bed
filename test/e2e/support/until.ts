import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Asks `probe` again and again until it answers something other than `undefined` or `false`, and
 * resolves with that. Rejects after `timeoutMs`, naming what was waited for and the last error.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: { readonly timeoutMs: number; readonly everyMs?: number },
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs
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
  throw new Error(`waited ${options.timeoutMs} ms for ${what}${reason}`, { cause })
}

/** Thrown by a probe that knows that waiting longer is in vain. */
export class GivenUp extends Error {
  override readonly name = 'GivenUp'
}
