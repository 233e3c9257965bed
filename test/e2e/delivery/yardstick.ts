import { collection } from '../support/kubernetes.ts'
import { type RunningBroker, type Shop, startSidecar } from '../support/delivery.ts'
import type { Ground } from '../support/ground.ts'
import { until } from '../support/until.ts'

/** Changes of a Secret that go the way to a file one after the other, until they are stopped. */
export interface Yardstick {
  /** Ends it; resolves with what the slowest change took, in milliseconds. */
  stop(): Promise<number>
}

/**
 * How slow the machine is while something is measured that goes the same way: from the API server
 * over the broker to a file of a pod. A change waits for nothing there, so what it takes is the
 * machine's doing.
 */
export async function startYardstick(
  ground: Ground,
  { shop, broker }: { readonly shop: Shop; readonly broker: RunningBroker },
): Promise<Yardstick> {
  const name = 'yardstick'
  const secrets = collection('v1', 'secrets', shop.namespace)
  await shop.owner.create(secrets, { metadata: { name }, stringData: { n: '0' } })
  await shop.grant(name)
  await shop.pod(name)
  const it = await startSidecar(ground, {
    ...{ name, broker, token: await shop.token(name) },
    secrets: `- { secret: ${name}, path: /etc/yardstick/ }`,
  })
  const shows = async (n: number): Promise<void> => {
    const there = async (): Promise<boolean> => (await it.read('/etc/yardstick/n')) === String(n)
    await until('the yardstick', there, { timeoutMs: 30_000, everyMs: 5 })
  }
  await shows(0)
  let [stopped, slowestMs] = [false, 0]
  const ended = (): boolean => stopped
  const change = async (): Promise<void> => {
    for (let n = 1; !ended(); n += 1) {
      const begin = performance.now()
      await shop.owner.patch(secrets, name, { stringData: { n: String(n) } })
      await shows(n)
      slowestMs = Math.max(slowestMs, performance.now() - begin)
    }
  }
  const changing = change()
  return {
    stop: async () => {
      stopped = true
      await changing
      await it.child.stop()
      return slowestMs
    },
  }
}
