import test, { type ExecutionContext } from 'ava'
import { createKubernetesClient, type KubernetesClient } from '../../../src/clients/kubernetes.ts'
import { silentLog } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { BundleKeeper, type KeeperDeps } from '../../../src/webhook/certificates/keeper.ts'
import { createWebhookMetrics } from '../../../src/webhook/metrics.ts'
import { startFakeKubernetes, type FakeKubernetes } from '../../support/fake-kubernetes.ts'
import { loopClock, pause } from '../../support/loop-clock.ts'

const name = 'injector.latchkey.dev'
const root = '/apis/admissionregistration.k8s.io/v1'
const mutating = `${root}/mutatingwebhookconfigurations`
const validating = `${root}/validatingwebhookconfigurations`
const configuration = (
  ...bundles: (string | undefined)[]
): { metadata: { name: string }; webhooks: object[] } => ({
  metadata: { name },
  webhooks: bundles.map((caBundle, index) => ({
    name: `w${index}`,
    clientConfig: { service: { name: 's' }, ...(caBundle === undefined ? {} : { caBundle }) },
  })),
})

interface Ground {
  readonly kubernetes: FakeKubernetes
  readonly start: (change?: Partial<KeeperDeps>) => BundleKeeper
  readonly client: KubernetesClient
  readonly bundles: (path?: string) => Promise<readonly (string | undefined)[]>
  readonly settled: (path: string, bundle: string) => Promise<number>
}

async function ground(t: ExecutionContext): Promise<Ground> {
  const kubernetes = await startFakeKubernetes(t)
  const stop = new AbortController()
  t.teardown(() => {
    stop.abort()
  })
  const client = createKubernetesClient(kubernetes.access, { clock: loopClock })
  const bundles = async (path = mutating): Promise<readonly (string | undefined)[]> => {
    const object = (await client.request('GET', `${path}/${name}`, {
      signal: stop.signal,
    })) as { webhooks: { clientConfig: { caBundle?: string } }[] }
    return object.webhooks.map(({ clientConfig: { caBundle } }) =>
      caBundle === undefined ? undefined : Buffer.from(caBundle, 'base64').toString(),
    )
  }
  return {
    kubernetes,
    bundles,
    client,
    start: (change) =>
      new BundleKeeper({
        client,
        clock: loopClock,
        random: () => 0.5,
        log: silentLog,
        metrics: createWebhookMetrics(createMetrics(), { version: '0', inFlight: () => 0 }),
        name,
        onChange: () => undefined,
        signal: stop.signal,
        ...change,
      }),
    settled: async (path, bundle) => {
      const started = loopClock.monotonicMs()
      while (!(await bundles(path)).every((each) => each === bundle)) {
        if (loopClock.monotonicMs() - started > 20_000) throw new Error('the bundle did not arrive')
        await pause(5)
      }
      return loopClock.monotonicMs() - started
    },
  }
}

test('every entry of both configurations gets the bundle', async (t) => {
  const { kubernetes, start, settled } = await ground(t)
  kubernetes.put(mutating, configuration(undefined, Buffer.from('other').toString('base64')))
  kubernetes.put(validating, configuration(undefined))
  start().want(['one\n', 'two\n'])
  await settled(mutating, 'one\ntwo\n')
  await settled(validating, 'one\ntwo\n')
  t.is(kubernetes.asked('PATCH', 'webhookconfigurations').length, 2)
})

test('what is wiped or changed is put back within a second', async (t) => {
  const { kubernetes, start, settled, bundles } = await ground(t)
  kubernetes.put(mutating, configuration(undefined, undefined))
  start().want(['one\n'])
  await settled(mutating, 'one\n')
  for (const next of [
    configuration(undefined, undefined),
    configuration('', Buffer.from('one\n').toString('base64')),
    configuration(undefined, undefined, undefined),
    configuration(Buffer.from('forged').toString('base64')),
  ]) {
    kubernetes.put(mutating, next)
    t.true((await settled(mutating, 'one\n')) < 1000)
    t.is((await bundles()).length, next.webhooks.length)
  }
})

test('a configuration that is made later, or again, gets it too', async (t) => {
  const { kubernetes, start, settled } = await ground(t)
  start().want(['one\n'])
  kubernetes.put(mutating, configuration(undefined))
  await settled(mutating, 'one\n')
  kubernetes.remove(mutating, name)
  kubernetes.put(mutating, configuration(undefined))
  t.true((await settled(mutating, 'one\n')) < 1000)
})

test('what is wiped before the answer to a write has come is put back too', async (t) => {
  const { kubernetes, client, start, settled } = await ground(t)
  kubernetes.put(mutating, configuration(undefined))
  const wiped = Promise.withResolvers<undefined>()
  const request: KubernetesClient['request'] = async (method, ...rest) => {
    const answer = await client.request(method, ...rest)
    if (method === 'PATCH' && kubernetes.asked('PATCH', mutating).length === 1) {
      kubernetes.put(mutating, configuration(undefined))
      wiped.resolve(undefined)
      // The watch tells of it meanwhile.
      await pause(100)
    }
    return answer
  }
  start({ client: { ...client, request } }).want(['one\n'])
  await wiped.promise
  await settled(mutating, 'one\n')
  t.is(kubernetes.asked('PATCH', mutating).length, 2)
})

test('two keepers come to rest', async (t) => {
  const { kubernetes, start, settled } = await ground(t)
  kubernetes.put(mutating, configuration(undefined, undefined))
  for (const keeper of [start(), start()]) keeper.want(['one\n'])
  await settled(mutating, 'one\n')
  await pause(300)
  const before = kubernetes.asked('PATCH', 'webhookconfigurations').length
  t.true(before <= 3)
  await pause(700)
  t.is(kubernetes.asked('PATCH', 'webhookconfigurations').length, before)
})

test('a new bundle takes the place of the old one', async (t) => {
  const { kubernetes, start, settled } = await ground(t)
  kubernetes.put(mutating, configuration(undefined))
  const keeper = start()
  keeper.want(['one\n'])
  await settled(mutating, 'one\n')
  keeper.want(['one\n', 'two\n'])
  t.true((await settled(mutating, 'one\ntwo\n')) < 1000)
})

test('a certificate is known some seconds after all entries have it', async (t) => {
  const { kubernetes, start, settled } = await ground(t)
  let now = 0
  kubernetes.put(mutating, configuration(undefined))
  const keeper = start({ clock: { ...loopClock, monotonicMs: () => now } })
  t.false(keeper.knows('one\n'))
  keeper.want(['one\n'])
  await settled(mutating, 'one\n')
  await pause(100)
  t.false(keeper.knows('one\n'))
  now = 3_000
  t.true(keeper.knows('one\n'))
  keeper.want(['one\n', 'two\n'])
  await settled(mutating, 'one\ntwo\n')
  await pause(100)
  t.true(keeper.knows('one\n'))
  t.false(keeper.knows('two\n'))
  now = 6_000
  t.true(keeper.knows('two\n'))
  keeper.want(['two\n'])
  t.false(keeper.knows('one\n'))
})

test('an API server that refuses for a while is asked again', async (t) => {
  const { kubernetes, start, settled } = await ground(t)
  let refusals = 3
  kubernetes.fault = ({ method }) => (method === 'PATCH' && refusals-- > 0 ? 503 : undefined)
  kubernetes.put(mutating, configuration(undefined))
  start().want(['one\n'])
  await settled(mutating, 'one\n')
  t.is(kubernetes.asked('PATCH', 'webhookconfigurations').length, 4)
})
