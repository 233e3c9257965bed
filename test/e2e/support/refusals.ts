import type { ExecutionContext } from 'ava'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** How a socket refused connections while it was watched. */
export interface Refusals {
  readonly attempts: number
  readonly refused: number
  /** From the first refused attempt to the first that succeeded after it, the longest of them. */
  readonly longestMs: number
}

/** Connects to `socket` about every `everyMs` milliseconds, and hangs up, until it is stopped or the test is over. */
export function watchRefusals(
  t: Pick<ExecutionContext, 'teardown'>,
  socket: string,
  everyMs: number,
): { stop(): Promise<Refusals> } {
  const stopped = new AbortController()
  const result = { attempts: 0, refused: 0, longestMs: 0 }
  const watch = async (): Promise<void> => {
    let since: number | undefined
    while (!stopped.signal.aborted) {
      const begin = performance.now()
      result.attempts += 1
      if (await connects(socket)) {
        if (since !== undefined) result.longestMs = Math.max(result.longestMs, begin - since)
        since = undefined
      } else {
        result.refused += 1
        since ??= begin
      }
      await sleep(everyMs)
    }
  }
  const done = watch()
  const stop = async (): Promise<Refusals> => {
    stopped.abort()
    await done
    return { ...result, longestMs: Math.round(result.longestMs) }
  }
  t.teardown(stop)
  return { stop }
}

async function connects(socket: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const connection = connect(socket)
    connection.once('error', () => {
      resolve(false)
    })
    connection.once('connect', () => {
      connection.destroy()
      resolve(true)
    })
  })
}
