import type { ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'
import { type Kubernetes, type KubernetesObject, collection } from './kubernetes.ts'

/** What a client's load came to. */
export interface LoadReport {
  readonly reads: number
  readonly writes: number
  /** Every operation that failed or read something else than was written. */
  readonly failures: readonly string[]
  readonly slowestMs: number
}

/** A load that goes on until it is stopped. */
export interface Load {
  /** Finishes what is in flight and reports. */
  stop(): Promise<LoadReport>
}

/**
 * Writes, reads back, rewrites, lists and deletes Secrets of 1 KiB through one API server, as
 * `workers` (default 4) clients at once, and checks every value read against the one written.
 * Goes on until it is stopped, or until the test `t` is over.
 */
export function startLoad(
  t: Pick<ExecutionContext, 'teardown'>,
  api: Kubernetes,
  options: { readonly namespace?: string; readonly workers?: number; readonly name?: string } = {},
): Load {
  const { namespace = 'default', workers = 4, name = 'load' } = options
  const path = collection('v1', 'secrets', namespace)
  const failures: string[] = []
  const count = { reads: 0, writes: 0 }
  let slowestMs = 0
  let stopped = false

  const timed = async <T>(
    kind: keyof typeof count,
    run: () => Promise<T>,
  ): Promise<T | undefined> => {
    const begin = performance.now()
    try {
      return await run()
    } catch (error) {
      failures.push(`${kind}: ${error instanceof Error ? error.message : 'unknown'}`)
      return undefined
    } finally {
      count[kind] += 1
      slowestMs = Math.max(slowestMs, performance.now() - begin)
    }
  }
  const check = (found: KubernetesObject | undefined, value: string): void => {
    if (found === undefined) return // already counted
    const data = found['data'] as { value?: string } | undefined
    if (data?.value !== value) failures.push(`reads: ${found.metadata.name} has another value`)
  }
  const worker = async (number: number): Promise<void> => {
    const labels = { load: `${name}-${number}` }
    for (let round = 0; !stopped; round += 1) {
      const metadata = { name: `${name}-${number}-${round}`, labels }
      const [first, second] = [randomBytes(768), randomBytes(768)].map((one) =>
        one.toString('base64'),
      )
      if (first === undefined || second === undefined) return
      await timed(
        'writes',
        async () => await api.create(path, { metadata, data: { value: first } }),
      )
      check(await timed('reads', async () => await api.get(path, metadata.name)), first)
      await timed(
        'writes',
        async () => await api.replace(path, { metadata, data: { value: second } }),
      )
      check(await timed('reads', async () => await api.get(path, metadata.name)), second)
      const query = { labelSelector: `load=${labels.load}` }
      const list = await timed('reads', async () => await api.list(path, query))
      const listed = list?.items.find((item) => item.metadata.name === metadata.name)
      if (list !== undefined && listed === undefined) failures.push('reads: missing in the list')
      check(listed, second)
      // The last ten stay, so that some objects grow old under every key.
      if (round < 10) continue
      const old = `${name}-${number}-${round - 10}`
      await timed('writes', async () => {
        await api.delete(path, old)
      })
    }
  }
  const done = Promise.all(
    Array.from({ length: workers }, async (_, number) => {
      await worker(number)
    }),
  )
  const stop = async (): Promise<LoadReport> => {
    stopped = true
    await done
    return { ...count, failures, slowestMs: Math.round(slowestMs) }
  }
  t.teardown(stop)
  return { stop }
}

/** One line about a load, for a test's log. */
export function describeLoad(report: LoadReport, seconds: number): string {
  const { reads, writes, failures, slowestMs } = report
  const perSecond = Math.round((reads + writes) / seconds)
  return `${reads} reads and ${writes} writes (${perSecond}/s), ${failures.length} failed, slowest ${slowestMs} ms`
}
