import test, { type ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'
import { sha256Label } from '../../src/base/bytes.ts'
import { until } from '../e2e/support/until.ts'
import { farewell, openStream, shows, type TestStream } from '../support/broker-client.ts'
import { startBroker, type TestBroker, type TestBrokerOptions } from '../support/broker.ts'
import { FakeCluster, type FakePod } from '../support/fake-cluster.ts'
import { startFakeKubernetes } from '../support/fake-kubernetes.ts'
import { loopClock, pause } from '../support/loop-clock.ts'

const soon = { timeoutMs: 40_000, everyMs: 5 }

interface Opened {
  readonly cluster: FakeCluster
  readonly broker: TestBroker
  readonly stream: (
    pod: FakePod,
    options?: { readonly token?: string; readonly instance?: Buffer; readonly fields?: object },
  ) => TestStream
}

async function open(
  t: ExecutionContext,
  options: Omit<TestBrokerOptions, 'kubernetes'> = {},
): Promise<Opened> {
  const kubernetes = await startFakeKubernetes(t)
  const cluster = new FakeCluster(kubernetes)
  cluster.setSecret('db', { k: 'v' })
  cluster.grant('web', 'db')
  const broker = await startBroker(t, { kubernetes, ...options })
  return {
    cluster,
    broker,
    stream: (pod, { token = cluster.token(pod), ...rest } = {}) =>
      openStream(t, broker, { token, references: ['db'], ...rest }),
  }
}

const refusals = async (broker: TestBroker): Promise<readonly unknown[]> =>
  (await broker.audit()).filter(({ event }) => event === 'stream.refused').map(({ why }) => why)

test('tokens that are not a pod’s, not for us, or not good are refused, and that is recorded', async (t) => {
  const { cluster, broker, stream } = await open(t)
  const pod = cluster.addPod()
  const stranger: FakePod = { ...pod, name: 'ghost', uid: 'ghost' }
  const refused: Readonly<Record<string, string>> = {
    'another audience': cluster.token(pod, { audience: 'https://kubernetes.default.svc' }),
    'bound to nothing': cluster.token(pod, { bound: false }),
    'of a person': cluster.token(pod, { user: 'admin' }),
    'of a node': cluster.token(pod, { user: 'system:node:node-1' }),
    expired: cluster.token(pod, { seconds: -1 }),
    'of a pod that is gone': cluster.token(stranger),
    forged: `${cluster.token(pod)}x`,
    'no JWT': 'abc',
  }
  for (const [title, token] of Object.entries(refused)) {
    t.is(await farewell(t, stream(pod, { token })), 'TOKEN_REFUSED UNAUTHENTICATED', title)
    await pause(1_010)
  }
  await until('the audit', async () => (await refusals(broker)).length === 8, soon)
  t.deepEqual(new Set(await refusals(broker)), new Set(['ERR_TOKEN_REFUSED']))
  t.false(
    JSON.stringify([await broker.audit(), broker.log.lines]).includes(
      refused['forged']?.slice(0, 30) ?? '',
    ),
  )
})

test('a pod is what its token says, or gets nothing', async (t) => {
  const { cluster, stream } = await open(t)
  const other = cluster.addPod({}, { spec: { serviceAccountName: 'other' } })
  t.is(await farewell(t, stream(other)), 'POD_GONE PERMISSION_DENIED')
  const moved = cluster.addPod({}, { spec: { nodeName: 'node-2' } })
  t.is(await farewell(t, stream(moved)), 'POD_GONE PERMISSION_DENIED')
  const done = cluster.addPod({}, { status: { phase: 'Succeeded' } })
  t.is(await farewell(t, stream(done)), 'POD_FINISHED PERMISSION_DENIED')
})

test('a stream ends when its pod is deleted, finishes, or is replaced by one of the same name', async (t) => {
  const { cluster, stream } = await open(t)
  const deleted = cluster.addPod()
  const first = stream(deleted)
  await shows(t, first, 'db=READY k=v')
  cluster.removePod(deleted)
  t.is(await farewell(t, first), 'POD_GONE PERMISSION_DENIED')
  const finishing = cluster.addPod()
  const second = stream(finishing)
  await shows(t, second, 'db=READY k=v')
  cluster.addPod(finishing, { status: { phase: 'Failed' } })
  t.is(await farewell(t, second), 'POD_FINISHED PERMISSION_DENIED')
  const replaced = cluster.addPod()
  const third = stream(replaced)
  await shows(t, third, 'db=READY k=v')
  cluster.removePod(replaced)
  cluster.addPod({ ...replaced, uid: 'another' })
  t.is(await farewell(t, third), 'POD_GONE PERMISSION_DENIED')
})

test('where injection is required, only the webhook’s pods with their own plan are served', async (t) => {
  const { cluster, stream } = await open(t, { flags: ['--require-injected'] })
  const plan = '[{"secret":"db"}]'
  const digest = sha256Label(plan)
  const container = { name: 'latchkey', args: [`--plan-digest=${digest}`] }
  const annotations = { 'latchkey.dev/plan': plan }
  const injected = cluster.addPod({}, { annotations, spec: { initContainers: [container] } })
  await shows(t, stream(injected, { fields: { plan_digest: digest } }), 'db=READY k=v')
  t.is(await farewell(t, stream(cluster.addPod())), 'POD_NOT_INJECTED PERMISSION_DENIED')
  const lying = cluster.addPod({}, { annotations, spec: { initContainers: [container] } })
  const fields = { plan_digest: sha256Label('another plan') }
  t.is(await farewell(t, stream(lying, { fields })), 'POD_NOT_INJECTED PERMISSION_DENIED')
})

test('a client elsewhere than its pod is warned of, or refused, as the broker was told', async (t) => {
  const warning = await open(t, { flags: ['--bind-pod-ip', 'warn'] })
  const elsewhere = { status: { podIP: '10.1.2.3' } }
  await shows(t, warning.stream(warning.cluster.addPod({}, elsewhere)), 'db=READY k=v')
  t.is(warning.broker.log.of('stream.other_address').length, 1)
  t.true((await warning.broker.audit()).some(({ event }) => event === 'pod.address'))
  await shows(t, warning.stream(warning.cluster.addPod()), 'db=READY k=v')
  t.is(warning.broker.log.of('stream.other_address').length, 1)
  const enforcing = await open(t, { flags: ['--bind-pod-ip', 'enforce'] })
  const refused = enforcing.stream(enforcing.cluster.addPod({}, elsewhere))
  t.is(await farewell(t, refused), 'PEER_ADDRESS PERMISSION_DENIED')
  await shows(t, enforcing.stream(enforcing.cluster.addPod()), 'db=READY k=v')
})

test('a refreshed token takes the place of the old one; one that is refused, or another pod’s, does not', async (t) => {
  const { cluster, broker, stream } = await open(t)
  const pod = cluster.addPod()
  const it = stream(pod)
  await shows(t, it, 'db=READY k=v')
  const event = (name: string) => async (): Promise<boolean> =>
    (await broker.audit()).some((line) => line['event'] === name)
  await pause(1_000)
  it.refresh('not.a.token')
  await until('the refusal', event('token.refused'), soon)
  await pause(1_000)
  it.refresh(cluster.token(cluster.addPod()))
  await until(
    'the second refusal',
    async () =>
      (await broker.audit()).filter((line) => line['event'] === 'token.refused').length === 2,
    soon,
  )
  await pause(1_000)
  it.refresh(cluster.token(pod))
  await until('the refresh', event('token.refreshed'), soon)
  cluster.setSecret('db', { k: 'w' })
  await shows(t, it, 'db=READY k=w')
})

test('a stream whose token expires ends, and not before', async (t) => {
  const { cluster, stream } = await open(t)
  const pod = cluster.addPod()
  const expiresAtMs = Date.now() + 13_000
  const it = stream(pod, { token: cluster.token(pod, { seconds: 13 }) })
  const other = cluster.addPod()
  const refreshed = stream(other, { token: cluster.token(other, { seconds: 13 }) })
  await shows(t, it, 'db=READY k=v')
  await pause(1_200)
  refreshed.refresh(cluster.token(other))
  await until('the end', () => it.ended() !== undefined, soon)
  t.true(Date.now() >= expiresAtMs)
  t.is(await farewell(t, it), 'TOKEN_EXPIRED UNAUTHENTICATED')
  t.is(refreshed.ended(), undefined)
})

test('a new stream of the same client replaces the old one; of another client it raises an alert', async (t) => {
  const { cluster, broker, stream } = await open(t)
  const pod = cluster.addPod()
  const instance = randomBytes(16)
  const first = stream(pod, { instance })
  await shows(t, first, 'db=READY k=v')
  await pause(300)
  const second = stream(pod, { instance })
  await shows(t, second, 'db=READY k=v')
  t.is(await farewell(t, first), 'SUPERSEDED ABORTED')
  await pause(2_500)
  t.is(broker.log.of('stream.concurrent').length, 0)
  const thief = stream(pod)
  await shows(t, thief, 'db=READY k=v')
  await until('the alert', () => broker.log.of('stream.concurrent').length === 1, soon)
  t.true((await broker.audit()).some(({ event }) => event === 'pod.concurrent'))
  t.is(second.ended(), undefined)
  await pause(300)
  await shows(t, stream(pod), 'db=READY k=v')
  await pause(300)
  t.is(await farewell(t, stream(pod)), 'LIMIT RESOURCE_EXHAUSTED')
})

test('messages that break the protocol end the stream, and silence does', async (t) => {
  const { cluster, broker, stream } = await open(t)
  const pod = cluster.addPod()
  const token = cluster.token(pod)
  const invalid = 'INVALID_MESSAGE INVALID_ARGUMENT'
  t.is(await farewell(t, stream(pod, { fields: { references: [{ secret: 'bank/db' }] } })), invalid)
  t.is(await farewell(t, stream(pod, { fields: { protocol_version: 0 } })), invalid)
  const early = openStream(t, broker, { token, references: ['db'], silent: true })
  early.refresh(token)
  t.is(await farewell(t, early), invalid)
  const twice = stream(pod)
  await shows(t, twice, 'db=READY k=v')
  twice.send({
    open: {
      protocol_version: 1,
      token: Buffer.from(token),
      references: [{ secret: 'db' }],
      instance: randomBytes(16),
    },
  })
  t.is(await farewell(t, twice), invalid)
  const long = stream(pod, { fields: { client: 'x'.repeat(300_000) } })
  t.is(await farewell(t, long), 'none RESOURCE_EXHAUSTED')
  const silent = openStream(t, broker, { token, references: ['db'], silent: true })
  await until('the deadline', () => silent.ended() !== undefined, soon)
  t.is(await farewell(t, silent), invalid)
})

test('a newer client is spoken to in our version', async (t) => {
  const { cluster, stream } = await open(t)
  await shows(t, stream(cluster.addPod(), { fields: { protocol_version: 7 } }), 'db=READY k=v')
})

test('while the API server is away nobody new is served, those there keep what they have, and all is told', async (t) => {
  const { cluster, broker, stream } = await open(t)
  const pod = cluster.addPod()
  const it = stream(pod)
  await shows(t, it, 'db=READY k=v')
  await cluster.kubernetes.stop()
  t.is(await farewell(t, stream(cluster.addPod())), 'REVIEW_UNAVAILABLE UNAVAILABLE')
  await until(
    'stale streams',
    async () => (await broker.metrics()).includes('stale_streams 1\n'),
    soon,
  )
  t.is(it.sets.length, 1)
  t.is(it.ended(), undefined)
  t.is(await broker.ready(), 200)
  cluster.setSecret('db', { k: 'meanwhile' })
  await cluster.kubernetes.start()
  await shows(t, it, 'db=READY k=meanwhile')
  await until(
    'no stale streams',
    async () => (await broker.metrics()).includes('stale_streams 0\n'),
    soon,
  )
})

test('a broker that stops sends its clients elsewhere, each after a while of its own', async (t) => {
  const { cluster, broker, stream } = await open(t)
  const streams = Array.from({ length: 20 }, () => stream(cluster.addPod()))
  await until('all', () => streams.every((it) => it.shown() === 'db=READY k=v'), soon)
  const startedAtMs = loopClock.monotonicMs()
  await broker.stop()
  t.true(loopClock.monotonicMs() - startedAtMs < 9_000)
  for (const it of streams) {
    t.is(await farewell(t, it), 'DRAINING UNAVAILABLE')
    t.true((it.goodbye()?.max ?? 0) >= 500)
  }
  t.is((await broker.audit()).at(-1)?.['event'], 'audit.checkpoint')
  t.is((await broker.audit()).at(-1)?.['final'], true)
})
