import test, { type ExecutionContext } from 'ava'
import { accountToken, parseAccount } from '../../../src/admin/delivery/account-token.ts'
import { publishedAuthorities } from '../../../src/admin/delivery/authorities.ts'
import { replicasIn } from '../../../src/admin/delivery/replicas.ts'
import type { Replica } from '../../../src/admin/delivery/status.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { createKubernetesClient, type KubernetesClient } from '../../../src/clients/kubernetes.ts'
import { createAuthority, type Authority } from '../../e2e/support/authority.ts'
import { until } from '../../e2e/support/until.ts'
import { openStream, shows } from '../../support/broker-client.ts'
import { startBroker, type TestBroker } from '../../support/broker.ts'
import { FakeCluster } from '../../support/fake-cluster.ts'
import { startFakeKubernetes } from '../../support/fake-kubernetes.ts'
import { forwardTo, servePortForwards } from '../../support/fake-port-forward.ts'

const system = 'latchkey-system'
const pods = `/api/v1/namespaces/${system}/pods`
const configurations = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations'
const labels = { 'app.kubernetes.io/name': 'latchkey', 'app.kubernetes.io/component': 'broker' }
const { signal } = new AbortController()

interface Opened {
  readonly cluster: FakeCluster
  readonly authority: Authority
  readonly client: KubernetesClient
}

async function open(t: ExecutionContext): Promise<Opened> {
  const kubernetes = await startFakeKubernetes(t)
  const cluster = new FakeCluster(kubernetes)
  const client = createKubernetesClient(kubernetes.access, { clock: systemClock })
  t.teardown(() => {
    client.close()
  })
  return { cluster, client, authority: await createAuthority('latchkey') }
}

/** A pod as the broker's Deployment makes them. */
function addBroker({ cluster }: Opened, name: string, changes: object = {}): void {
  cluster.kubernetes.put(pods, {
    metadata: { name, labels },
    spec: {
      containers: [
        { name: 'proxy', ports: [{ name: 'http', containerPort: 80 }] },
        { name: 'broker', ports: [{ name: 'broker', containerPort: 7443 }] },
      ],
    },
    status: { phase: 'Running' },
    ...changes,
  })
}

function publish({ cluster }: Opened, ...bundles: readonly string[]): void {
  cluster.kubernetes.put(configurations, {
    metadata: { name: 'injector.latchkey.dev' },
    webhooks: bundles.map((caBundle) => ({
      clientConfig: { caBundle: Buffer.from(caBundle).toString('base64') },
    })),
  })
}

async function replicas(opened: Opened): Promise<readonly Replica[]> {
  const { client, cluster } = opened
  const account = parseAccount('viewer', 'shop')
  cluster.kubernetes.issueToken = ({ namespace, name }, spec) =>
    namespace === 'shop' && name === 'viewer' && spec['expirationSeconds'] === 600
      ? cluster.token(
          { namespace, name: '', uid: '', account: name },
          { bound: false, user: 'admin', audience: String(spec['audiences']) },
        )
      : undefined
  const token = await accountToken(client, { account, audience: 'latchkey', signal })
  const ca = await publishedAuthorities(client, signal)
  return await replicasIn(system, { client, signal, ca, token })
}

test('every broker is found and asked by the kubeconfig alone', async (t) => {
  const opened = await open(t)
  const { cluster, authority } = opened
  cluster.setSecret('db', { k: 'one' })
  cluster.grant('web', 'db')
  const options = {
    kubernetes: cluster.kubernetes,
    authority,
    hosts: [`latchkey-broker.${system}.svc`],
  }
  const brokers = new Map<string, TestBroker>()
  for (const name of ['broker-0', 'broker-1']) {
    const broker = await startBroker(t, options)
    brokers.set(name, broker)
    addBroker(opened, name)
    const pod = cluster.addPod()
    const stream = openStream(t, broker, {
      token: cluster.token(pod),
      references: ['db'],
    })
    await shows(t, stream, 'db=READY k=one')
    stream.acknowledge()
  }
  addBroker(opened, 'starting', { status: { phase: 'Pending' } })
  addBroker(opened, 'other', { metadata: { name: 'other', labels: { app: 'other' } } })
  publish(opened, (await createAuthority('former')).cert, authority.cert)
  servePortForwards(
    cluster.kubernetes,
    forwardTo(({ pod, port }) => {
      t.is(port, 7_443)
      return brokers.get(pod) ?? { host: '127.0.0.1', port: 1 }
    }),
  )
  const found = await replicas(opened)
  t.deepEqual(
    found.map(({ name }) => name),
    ['broker-0', 'broker-1'],
  )
  for (const { name, ask } of found) {
    await until(
      `the acknowledgement at ${name}`,
      async () => {
        const answer = await ask({ namespace: 'shop', secret: 'db' })
        return answer.pods.length === 1 && answer.pods[0]?.current === true
      },
      { timeoutMs: 30_000, everyMs: 20 },
    )
  }
  await brokers.get('broker-1')?.stop()
  await t.throwsAsync(found[1]?.ask({ namespace: 'shop', secret: 'db' }) ?? t.fail(), {
    code: 'ERR_KUBERNETES_UNAVAILABLE',
    message: /ECONNREFUSED/,
  })
})

test('what answers in the pod’s place is not given the token', async (t) => {
  const opened = await open(t)
  const { cluster } = opened
  const wrongName = { kubernetes: cluster.kubernetes, authority: opened.authority }
  const strangers = [
    await startBroker(t, { ...wrongName, authority: await createAuthority('stranger') }),
    await startBroker(t, wrongName),
  ]
  publish(opened, opened.authority.cert)
  for (const stranger of strangers) {
    addBroker(opened, 'broker-0')
    servePortForwards(
      cluster.kubernetes,
      forwardTo(() => stranger),
    )
    const [replica] = await replicas(opened)
    await t.throwsAsync(replica?.ask({ namespace: 'shop', secret: 'db' }) ?? t.fail(), {
      code: 'ERR_BROKER_UNTRUSTED',
    })
  }
  t.is(cluster.kubernetes.asked('POST', '/tokenreviews').length, 0)
})

test('what is missing is named with its remedy', async (t) => {
  const opened = await open(t)
  const { cluster, client } = opened
  const { kubernetes } = cluster
  const refusing = (part: string): void => {
    kubernetes.fault = ({ path }) => (path.includes(part) ? 403 : undefined)
  }
  const expect = async (code: string, hint: RegExp): Promise<void> => {
    const asking = replicas(opened).then(async ([first]) => {
      await first?.ask({ namespace: 'shop', secret: 'db' })
    })
    const error = await t.throwsAsync(asking, { code })
    t.regex((error as { hint?: string }).hint ?? '', hint)
  }
  await expect('ERR_KUBERNETES_NOT_FOUND', /mutatingwebhookconfigurations.*--ca/)
  publish(opened, '')
  await expect('ERR_TLS_INVALID', /webhook runs.*--ca/)
  publish(opened, opened.authority.cert)
  await expect('ERR_BROKER_UNREACHABLE', /--system.*kubectl get pods/)
  addBroker(opened, 'broker-0')
  refusing('/portforward')
  await expect('ERR_KUBERNETES_FORBIDDEN', /get and create on pods\/portforward in namespace latch/)
  refusing('/pods')
  await expect('ERR_KUBERNETES_FORBIDDEN', /list on pods in namespace latchkey-system/)
  refusing('mutatingwebhook')
  await expect('ERR_KUBERNETES_FORBIDDEN', /get on mutatingwebhookconfigurations/)
  refusing('/token')
  await expect('ERR_KUBERNETES_FORBIDDEN', /create on serviceaccounts\/token in namespace shop/)
  kubernetes.fault = () => undefined
  const nobody = { account: { namespace: 'shop', name: 'nobody' }, audience: 'latchkey', signal }
  await t.throwsAsync(accountToken(client, nobody), { code: 'ERR_KUBERNETES_NOT_FOUND' })
})

test('an account is named with or without its namespace', (t) => {
  t.deepEqual(parseAccount('viewer', 'shop'), { namespace: 'shop', name: 'viewer' })
  t.deepEqual(parseAccount('ops/viewer', 'shop'), { namespace: 'ops', name: 'viewer' })
  for (const text of ['', '/', 'a/', '/b', 'a/b/c', 'Shop/viewer', 'shop/..']) {
    t.throws(() => parseAccount(text, 'shop'), { code: 'ERR_USAGE' }, text)
  }
})
