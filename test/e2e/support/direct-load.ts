import type { ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'
import type { Load, LoadReport } from './load.ts'
import { connectKms } from './kms-client.ts'

/**
 * Calls the plugin itself without a pause, as `workers` API servers at once that each meet new
 * seeds all the time: Status, Encrypt, Decrypt of what was encrypted. A real API server calls so
 * rarely that a restart would seldom be noticed.
 */
export function startDirectLoad(
  t: Pick<ExecutionContext, 'teardown'>,
  socket: string,
  options: {
    readonly workers?: number
    /** How long a call waits for an answer, in milliseconds. Default: as {@link connectKms}. */
    readonly timeoutMs?: number
  } = {},
): Load {
  const failures: string[] = []
  const count = { reads: 0, writes: 0 }
  let slowestMs = 0
  let stopped = false
  const worker = async (): Promise<void> => {
    const client = await connectKms(socket, options.timeoutMs)
    const timed = async <T>(name: string, run: () => Promise<T>): Promise<T | undefined> => {
      const begin = performance.now()
      try {
        return await run()
      } catch (error) {
        failures.push(`${name}: ${error instanceof Error ? error.message : 'unknown'}`)
        return undefined
      } finally {
        slowestMs = Math.max(slowestMs, performance.now() - begin)
      }
    }
    while (!stopped) {
      const status = await timed('Status', async () => await client.status())
      if (status !== undefined && status.healthz !== 'ok')
        failures.push(`healthz ${status.healthz}`)
      const seed = randomBytes(32)
      const sealed = await timed('Encrypt', async () => await client.encrypt(seed))
      count.writes += 1
      if (sealed === undefined) continue
      const opened = await timed('Decrypt', async () => await client.decrypt(sealed))
      count.reads += 1
      if (opened !== undefined && !opened.equals(seed)) failures.push('Decrypt: another seed')
    }
    client.close()
  }
  const done = Promise.all(Array.from({ length: options.workers ?? 2 }, worker))
  const stop = async (): Promise<LoadReport> => {
    stopped = true
    await done
    return { ...count, failures, slowestMs: Math.round(slowestMs) }
  }
  t.teardown(stop)
  return { stop }
}
