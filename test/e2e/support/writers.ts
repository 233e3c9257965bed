import type { ExecutionContext } from 'ava'
import { collection, type Kubernetes, type KubernetesError } from './kubernetes.ts'

/** Clients that write, delete and make Secrets again, and know what must be there. */
export interface Writers {
  /** Writes that were acknowledged so far. */
  count(): number
  /** Ends them, and compares: `lost` names every object that is not as its last writer left it. */
  stop(): Promise<{ readonly failures: readonly string[]; readonly lost: readonly string[] }>
}

const path = collection('v1', 'secrets', 'writers')

/**
 * Starts `workers` clients on `objects` Secrets of namespace `writers`, each object the business of
 * one of them. Values are written by PUT with the version that was read, so that a lost write shows.
 */
export async function startWriters(
  t: ExecutionContext,
  api: Kubernetes,
  options: { readonly objects: number; readonly workers: number },
): Promise<Writers> {
  await api.create(collection('v1', 'namespaces'), { metadata: { name: 'writers' } })
  /** What each object must hold; `undefined`: it was deleted. */
  const expected = new Map<string, string | undefined>()
  const failures: string[] = []
  let writes = 0
  let stopped = false
  const encode = (text: string): string => Buffer.from(text).toString('base64')
  const make = async (name: string, value: string): Promise<void> => {
    await api.create(path, { metadata: { name }, data: { value: encode(value) } })
    expected.set(name, value)
    writes += 1
  }
  const names = Array.from({ length: options.objects }, (_, number) => `written-${number}`)
  for (const name of names) await make(name, 'first')

  const step = async (name: string, round: number): Promise<void> => {
    const value = `${name} ${round}`
    if (expected.get(name) === undefined) {
      if (round % 3 === 0) await make(name, value)
      return
    }
    if (round % 7 === 6) {
      await api.delete(path, name)
      expected.set(name, undefined)
      writes += 1
      return
    }
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const found = await api.get(path, name)
      try {
        await api.replace(path, { ...found, data: { value: encode(value) } })
        expected.set(name, value)
        writes += 1
        return
      } catch (error) {
        // The migration wrote in between: whoever reads, changes and writes tries again, as ever.
        if ((error as KubernetesError).status !== 409) throw error
      }
    }
    throw new Error('ten conflicts in a row')
  }
  const ended = (): boolean => stopped
  const work = async (worker: number): Promise<void> => {
    const own = names.filter((_, index) => index % options.workers === worker)
    for (let round = 0; !ended(); round += 1) {
      for (const name of own) {
        if (ended()) return
        try {
          await step(name, round)
        } catch (error) {
          failures.push(`${name}: ${error instanceof Error ? error.message : 'unknown'}`)
        }
      }
    }
  }
  const done = Promise.all(Array.from({ length: options.workers }, (_, worker) => work(worker)))
  const stop: Writers['stop'] = async () => {
    stopped = true
    await done
    const { items } = await api.list(path)
    const found = new Map(
      items.map(({ metadata, ...rest }) => [
        metadata.name,
        (rest as { data?: { value?: string } }).data?.value,
      ]),
    )
    const lost = names.filter((name) => {
      const value = expected.get(name)
      return found.get(name) !== (value === undefined ? undefined : encode(value))
    })
    return { failures, lost }
  }
  t.teardown(() => {
    stopped = true
  })
  return { count: () => writes, stop }
}
