import test, { type ExecutionContext } from 'ava'
import { deliveryStatus, mergePods } from '../../../src/admin/delivery/status.ts'
import type { Terminal } from '../../../src/admin/terminal.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { SecretBytes } from '../../../src/base/secret.ts'
import { utf8 } from '../../../src/base/bytes.ts'
import {
  askBrokerStatus,
  type BrokerPodStatus,
  type BrokerStatus,
} from '../../../src/clients/broker-status.ts'
import { createKubernetesClient } from '../../../src/clients/kubernetes.ts'
import { openStream, shows } from '../../support/broker-client.ts'
import { startBroker, type TestBroker } from '../../support/broker.ts'
import { FakeCluster } from '../../support/fake-cluster.ts'
import { startFakeKubernetes } from '../../support/fake-kubernetes.ts'
import { createAuthority } from '../../e2e/support/authority.ts'
import { until } from '../../e2e/support/until.ts'

const annotations = { 'latchkey.dev/secrets': '- secret: db\n  path: /etc/db/\n' }
const soon = { timeoutMs: 30_000, everyMs: 5 }

function recordedTerminal(): {
  readonly terminal: Terminal
  readonly data: string[]
  readonly said: string[]
} {
  const data: string[] = []
  const said: string[] = []
  const terminal: Terminal = {
    interactive: false,
    data: (line) => data.push(line),
    say: (line) => said.push(line),
    ask: async () => '',
  }
  return { terminal, data, said }
}

function question(broker: TestBroker, token: string): Parameters<typeof askBrokerStatus>[0] {
  return {
    way: { host: broker.host, port: broker.port },
    serverName: 'localhost',
    ca: Buffer.from(broker.ca),
    token: SecretBytes.take(utf8(token)),
    namespace: 'shop',
    secret: 'db',
    timeoutMs: 10_000,
  }
}

async function open(
  t: ExecutionContext,
): Promise<{ readonly cluster: FakeCluster; readonly broker: TestBroker; readonly admin: string }> {
  const kubernetes = await startFakeKubernetes(t)
  const cluster = new FakeCluster(kubernetes)
  cluster.setSecret('db', { k: 'one' })
  cluster.grant('web', 'db')
  const admin = cluster.token(
    { namespace: 'shop', name: 'x', uid: 'x', account: 'x' },
    { bound: false, user: 'admin' },
  )
  return { cluster, broker: await startBroker(t, { kubernetes }), admin }
}

test('pods are counted over all replicas, against those that declare the secret', async (t) => {
  const { cluster, broker, admin } = await open(t)
  const second = await startBroker(t, { kubernetes: cluster.kubernetes })
  const pods = [0, 1, 2].map(() => cluster.addPod({}, { annotations }))
  cluster.addPod({}, { annotations, status: { phase: 'Succeeded' } })
  cluster.addPod()
  const [a, b] = pods
  if (a === undefined || b === undefined) throw new Error('unreachable')
  const one = openStream(t, broker, { token: cluster.token(a), references: ['db'] })
  const two = openStream(t, second, { token: cluster.token(b), references: ['db'] })
  await shows(t, one, 'db=READY k=one')
  await shows(t, two, 'db=READY k=one')
  one.acknowledge()
  two.acknowledge('OUTCOME_DISK_FULL')
  await until(
    'the acknowledgements',
    async () =>
      (await second.audit()).some(({ event }) => event === 'set.acknowledged') &&
      (await broker.audit()).some(({ event }) => event === 'set.acknowledged'),
    soon,
  )
  const client = createKubernetesClient(cluster.kubernetes.access, { clock: systemClock })
  t.teardown(() => {
    client.close()
  })
  const replicas = [broker, second].map((each) => ({
    name: `broker-${each.port}`,
    ask: () => askBrokerStatus(question(each, admin)),
  }))
  const { terminal, data, said } = recordedTerminal()
  const complete = await deliveryStatus(
    {
      terminal,
      cluster: client,
      signal: new AbortController().signal,
      replicas,
    },
    { namespace: 'shop', secret: 'db', output: 'table' },
  )
  t.false(complete)
  t.deepEqual(
    data.map((line) => line.split(/ {2,}/)),
    [
      ['POD', 'STATE'],
      [pods[0]?.name, 'current'],
      [pods[1]?.name, 'disk full'],
      [pods[2]?.name, 'not connected'],
    ],
  )
  t.deepEqual(said, ['1 of 3 pods have the newest content of secret/db'])
})

test('who may not ask, and what cannot be asked, have codes of their own', async (t) => {
  const { cluster, broker, admin } = await open(t)
  const pod = cluster.token(cluster.addPod())
  await t.throwsAsync(askBrokerStatus(question(broker, pod)), { code: 'ERR_FORBIDDEN' })
  await t.throwsAsync(askBrokerStatus(question(broker, 'forged')), { code: 'ERR_TOKEN_REFUSED' })
  const asked = cluster.kubernetes.asked('POST', '/tokenreviews').length
  const foreign = Buffer.from((await createAuthority('foreign')).cert)
  for (const wrong of [{ ca: foreign }, { serverName: 'elsewhere' }]) {
    await t.throwsAsync(askBrokerStatus({ ...question(broker, admin), ...wrong }), {
      code: 'ERR_BROKER_UNTRUSTED',
    })
  }
  // Whoever cannot be trusted to be a broker has seen no token.
  t.is(cluster.kubernetes.asked('POST', '/tokenreviews').length, asked)
  await broker.stop()
  await t.throwsAsync(askBrokerStatus(question(broker, admin)), { code: 'ERR_BROKER_UNREACHABLE' })
})

test('a pod between two replicas counts by the one where it is current', (t) => {
  const pod: BrokerPodStatus = {
    podUid: 'u',
    podName: 'web-0',
    serviceAccount: 'web',
    nodeName: '',
    status: 'ready',
    current: true,
    outcome: 'written',
    staleMs: 0,
  }
  const stale = { ...pod, current: false, outcome: '' }
  for (const pods of [
    [[pod], [stale]],
    [[stale], [pod]],
  ]) {
    const answers = pods.map((it) => ({ replica: 'r', version: 'v', pods: it }))
    t.deepEqual(mergePods(answers, undefined, { isComplete: true }), [
      { pod: 'web-0', uid: 'u', current: true, state: 'current' },
    ])
  }
})

test('a replica that does not answer is told of, and nothing is called complete', async (t) => {
  const { terminal, data, said } = recordedTerminal()
  const away = async (): Promise<BrokerStatus> => {
    throw new Error('away')
  }
  const ask = async (): Promise<BrokerStatus> => ({ replica: 'r', version: '', pods: [] })
  const replicas = [
    { name: 'broker-a', ask },
    { name: 'broker-b', ask: away },
  ]
  const deps = { terminal, cluster: undefined, signal: new AbortController().signal, replicas }
  t.false(await deliveryStatus(deps, { namespace: 'shop', secret: 'db', output: 'json' }))
  t.deepEqual(said.slice(1), [
    'warning: broker-b did not answer: away',
    'warning: the answer is incomplete: 1 of 2 replicas are not in it, and pods of theirs count as unknown',
  ])
  t.like(JSON.parse(data.join()), { unanswered: ['broker-b'], replicas: [{ replica: 'r' }] })
  const none = { ...deps, replicas: [{ name: 'broker-b', ask: away }] }
  await t.throwsAsync(deliveryStatus(none, { namespace: 'shop', secret: 'db', output: 'json' }), {
    message: 'away',
  })
})

test('of a pod that only a replica without answer can have, nothing is claimed', (t) => {
  const declared = new Map([['u', 'web-0']])
  const states = [true, false].map(
    (isComplete) => mergePods([], declared, { isComplete })[0]?.state,
  )
  t.deepEqual(states, ['not connected', 'unknown'])
})

test('replicas that have different versions are told of, and nothing is called complete', async (t) => {
  const current = (podUid: string): BrokerPodStatus => ({
    podUid,
    podName: podUid,
    serviceAccount: 'web',
    nodeName: '',
    status: 'ready',
    current: true,
    outcome: 'written',
    staleMs: 0,
  })
  const status = async (
    versions: readonly string[],
  ): Promise<{ readonly complete: boolean; readonly said: readonly string[] }> => {
    const { terminal, said } = recordedTerminal()
    const replicas = versions.map((version, index) => ({
      name: `broker-${index}`,
      ask: async (): Promise<BrokerStatus> => ({
        replica: `r${index}`,
        version,
        pods: version === '' ? [] : [current(`p${index}`)],
      }),
    }))
    const deps = { terminal, cluster: undefined, signal: new AbortController().signal, replicas }
    const flags = { namespace: 'shop', secret: 'db', output: 'table' } as const
    return { complete: await deliveryStatus(deps, flags), said }
  }
  const differ = await status(['old', 'new', ''])
  t.false(differ.complete)
  t.deepEqual(differ.said, [
    '2 of 2 connected pods have the newest content of secret/db',
    'warning: the replicas do not have the same version, so pods may be behind (r0 old, r1 new); if that lasts, see whether they share a --version-key',
  ])
  const agree = await status(['new', '', 'new'])
  t.true(agree.complete)
  t.is(agree.said.length, 1)
})
