import test from 'ava'
import { until } from '../e2e/support/until.ts'
import { farewell, openStream, shows, type TestStream } from '../support/broker-client.ts'
import { startBrokerInCluster } from '../support/broker-in-cluster.ts'
import { startBroker } from '../support/broker.ts'
import { pause } from '../support/loop-clock.ts'

const soon = { timeoutMs: 40_000, everyMs: 5 }

test('the first set comes within a moment, complete, after the stream was accepted', async (t) => {
  const { cluster, stream } = await startBrokerInCluster(t)
  cluster.setSecret('db', { password: 'one', user: 'u' })
  cluster.setSecret('tls', { crt: 'c' })
  cluster.grant('web', 'db')
  cluster.grant('web', 'tls')
  const it = stream(['tls', { secret: 'db', keys: ['password', 'missing'] }])
  const set = await shows(t, it, 'tls=READY crt=c, db=READY password=one')
  t.is(it.sets.length, 1)
  t.is(it.accepted()?.replica, 'replica-1')
  t.regex(set.version, /^[A-Za-z0-9_-]{22}$/)
  const live = (): boolean => it.heartbeats.some(({ staleMs }) => staleMs === 0)
  await until('a heartbeat that says that all is live', live, soon)
})

test('a change reaches the pod, and one that concerns other keys, or nothing, does not', async (t) => {
  const { cluster, stream } = await startBrokerInCluster(t)
  cluster.setSecret('db', { password: 'one', user: 'u' })
  cluster.grant('web', 'db')
  const all = stream(['db'])
  const one = stream([{ secret: 'db', keys: ['password'] }])
  await shows(t, all, 'db=READY password=one user=u')
  await shows(t, one, 'db=READY password=one')
  cluster.setSecret('db', { password: 'one', user: 'other' })
  await shows(t, all, 'db=READY password=one user=other')
  for (let i = 0; i < 20; i += 1) cluster.setSecret('db', { password: 'one', user: 'other' })
  cluster.setSecret('db', { password: 'two', user: 'other' })
  await shows(t, all, 'db=READY password=two user=other')
  await shows(t, one, 'db=READY password=two')
  t.is(all.sets.length, 3)
  t.is(one.sets.length, 2)
})

test('equal content has equal versions on two brokers, and content that comes back has its version again', async (t) => {
  const { cluster, stream, broker } = await startBrokerInCluster(t)
  cluster.setSecret('db', { k: 'one' })
  cluster.grant('web', 'db')
  const it = stream(['db'])
  const first = await shows(t, it, 'db=READY k=one')
  cluster.setSecret('db', { k: 'two' })
  const second = await shows(t, it, 'db=READY k=two')
  cluster.setSecret('db', { k: 'one' })
  const third = await shows(t, it, 'db=READY k=one')
  t.not(first.version, second.version)
  t.is(first.version, third.version)
  t.true(third.sequence > second.sequence && second.sequence > first.sequence)
  const other = await startBroker(t, { kubernetes: cluster.kubernetes })
  const pod = cluster.addPod()
  const elsewhere = openStream(t, other, { token: cluster.token(pod), references: ['db'] })
  t.is((await shows(t, elsewhere, 'db=READY k=one')).version, first.version)
  t.not(other.port, broker.port)
})

test('while a denial is pending, what is new is not handed out, and a newcomer gets nothing', async (t) => {
  const { cluster, stream } = await startBrokerInCluster(t)
  cluster.setSecret('db', { k: 'one' })
  cluster.grant('web', 'db')
  const it = stream(['db'])
  await shows(t, it, 'db=READY k=one')
  cluster.revoke('web', 'db')
  await pause(100)
  cluster.setSecret('db', { k: 'two' })
  const newcomer = stream(['db'])
  await shows(t, it, 'db=DENIED')
  await shows(t, newcomer, 'db=DENIED')
  t.is(it.sets.length, 2)
  t.is(newcomer.sets.length, 1)
})

test('a hundred pods of one account are one question, one reading and one set', async (t) => {
  const { cluster, stream } = await startBrokerInCluster(t)
  cluster.setSecret('db', { k: 'one' })
  cluster.grant('web', 'db')
  const first = stream(['db'])
  await shows(t, first, 'db=READY k=one')
  await pause(6_000)
  const questions = (): number => cluster.kubernetes.asked('POST', 'subjectaccessreviews').length
  const before = questions()
  const streams = Array.from({ length: 100 }, () => stream(['db']))
  await until('all to have it', () => streams.every((it) => it.shown() === 'db=READY k=one'), soon)
  t.is(questions(), before)
  cluster.setSecret('db', { k: 'two' })
  await until(
    'all to have the change',
    () => streams.every((it) => it.shown() === 'db=READY k=two'),
    soon,
  )
  t.deepEqual(
    cluster.kubernetes.watches.filter((path) => path.startsWith('/api/v1/namespaces')),
    ['/api/v1/namespaces/shop/pods', '/api/v1/namespaces/shop/secrets'],
  )
  t.is(new Set(streams.map((it) => it.sets.at(-1)?.version)).size, 1)
})

test('a pod that does not read holds up nobody, and gets only the newest set when it does', async (t) => {
  const { cluster, stream } = await startBrokerInCluster(t)
  const big = (n: number): Record<string, string> => ({ n: String(n), k: 'x'.repeat(300_000) })
  const last = (it: TestStream): string | undefined => it.sets.at(-1)?.items[0]?.values['n']
  cluster.setSecret('db', big(0))
  cluster.grant('web', 'db')
  const slow = stream(['db'])
  const quick = stream(['db'])
  await until('the first set', () => last(slow) === '0' && last(quick) === '0', soon)
  slow.pause()
  for (let n = 1; n <= 60; n += 1) {
    cluster.setSecret('db', big(n))
    await until(`set ${n}`, () => last(quick) === String(n), soon)
  }
  slow.resume()
  await until('the newest', () => last(slow) === '60', soon)
  t.is(quick.sets.length, 61)
  // What the client's own buffer held when it was full, and then the newest.
  t.true(slow.sets.length <= 25, `${slow.sets.length}`)
})

test('values of any bytes arrive as they are, up to the limits, and what is over them is named', async (t) => {
  const { cluster, stream } = await startBrokerInCluster(t)
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  cluster.setSecret('bytes', { all: bytes, empty: '' })
  const mebibyte = 'x'.repeat(1_048_576)
  for (let i = 0; i < 17; i += 1) {
    cluster.setSecret(`big-${i}`, { k: mebibyte })
    cluster.grant('web', `big-${i}`)
  }
  cluster.grant('web', 'bytes')
  const references = ['bytes', ...Array.from({ length: 17 }, (_, i) => `big-${i}`)]
  // Each alone first: what is read only after a set was due is in it as not read, and stays so.
  const alone = references.map((secret) => stream([secret]))
  const isRead = (it: TestStream): boolean => it.sets.at(-1)?.items[0]?.status === 'READY'
  await until('each to be read', () => alone.every(isRead), soon)
  const it = stream(references)
  const decided = (): boolean =>
    it.sets.at(-1)?.items.filter(({ status }) => status === 'READY').length === 16
  await until('a set with all that fits', decided, soon)
  const items = it.sets.at(-1)?.items ?? []
  t.is(items[0]?.values['all'], bytes.toString('latin1'))
  t.is(items[0]?.values['empty'], '')
  t.deepEqual(
    items.slice(1).map(({ status, reason }) => `${status} ${reason}`),
    [
      ...Array.from({ length: 15 }, () => 'READY UNSPECIFIED'),
      'UNAVAILABLE TOO_LARGE',
      'UNAVAILABLE TOO_LARGE',
    ],
  )
})

test('acknowledgements, and what became of them, are in the delivery status and in the audit', async (t) => {
  const { cluster, stream, broker } = await startBrokerInCluster(t)
  cluster.setSecret('db', { k: 'one' })
  cluster.grant('web', 'db')
  const it = stream(['db'])
  await shows(t, it, 'db=READY k=one')
  it.acknowledge('OUTCOME_DISK_FULL')
  it.acknowledge('OUTCOME_WRITTEN')
  it.send({ acknowledgement: { sequence: 10_000, version: 'x', outcome: 'OUTCOME_READ_ONLY' } })
  it.acknowledge('OUTCOME_WRITTEN')
  const outcomes = async (): Promise<readonly unknown[]> =>
    (await broker.audit())
      .filter((line) => line['event'] === 'set.acknowledged')
      .map((line) => line['detail'])
  await until('the audit', async () => (await outcomes()).length >= 2, soon)
  await pause(100)
  t.deepEqual(await outcomes(), ['disk-full', 'written'])
})

test('a flood of acknowledgements ends the stream', async (t) => {
  const { cluster, stream } = await startBrokerInCluster(t)
  cluster.setSecret('db', { k: 'one' })
  cluster.grant('web', 'db')
  const it = stream(['db'])
  await shows(t, it, 'db=READY k=one')
  for (let i = 0; i < 200; i += 1)
    it.acknowledge(i % 2 === 0 ? 'OUTCOME_WRITTEN' : 'OUTCOME_IO_ERROR')
  t.is(await farewell(t, it), 'LIMIT RESOURCE_EXHAUSTED')
})

test('a missing secret comes by itself, and one that goes is a decision', async (t) => {
  const { cluster, stream } = await startBrokerInCluster(t)
  cluster.grant('web', 'db')
  const it = stream(['db'])
  await shows(t, it, 'db=NOT_FOUND')
  cluster.setSecret('db', { k: 'v' })
  await shows(t, it, 'db=READY k=v')
  cluster.removeSecret('db')
  await shows(t, it, 'db=NOT_FOUND')
})

test('on the Pod that waits there is an Event that says why and what to do, once', async (t) => {
  const { cluster, stream } = await startBrokerInCluster(t)
  cluster.setSecret('db', { k: 'v' })
  const pod = cluster.addPod()
  const it = stream(['db', 'tls'], { pod })
  await shows(t, it, 'db=DENIED, tls=DENIED')
  const events = (): readonly Readonly<Record<string, unknown>>[] =>
    cluster.kubernetes.asked('POST', '/events').map(({ body }) => body)
  await until('the Event', () => events().length > 0, soon)
  await pause(2_500)
  t.is(events().length, 1)
  t.like(events()[0], {
    type: 'Warning',
    reason: 'SecretsMissing',
    reportingComponent: 'latchkey-broker',
  })
  t.like(events()[0]?.['involvedObject'], { kind: 'Pod', name: pod.name, uid: pod.uid })
  t.regex(
    String(events()[0]?.['message']),
    /secret db: service account web may not mount it \(kubectl create role/,
  )
})

test('everything is in the audit: open, allow, delivery, revocation, end; and nothing of a value', async (t) => {
  const { cluster, stream, broker } = await startBrokerInCluster(t)
  cluster.setSecret('db', { password: 'correct horse' })
  cluster.grant('web', 'db')
  const pod = cluster.addPod()
  const it = stream([{ secret: 'db', keys: ['password'] }], { pod })
  await shows(t, it, 'db=READY password=correct horse')
  cluster.revoke('web', 'db')
  await shows(t, it, 'db=DENIED')
  it.cancel()
  await until(
    'the end',
    async () => (await broker.audit()).some((line) => line['event'] === 'stream.end'),
    soon,
  )
  const lines = await broker.audit()
  t.deepEqual(lines.map(({ event, outcome }) => `${String(event)} ${String(outcome)}`).slice(1), [
    'stream.open allowed',
    'secret.allowed allowed',
    'set.delivered allowed',
    'secret.revoked denied',
    'set.delivered allowed',
    'stream.end done',
  ])
  const delivered = lines.find((line) => line['event'] === 'set.delivered')
  t.like(delivered?.['who'], {
    namespace: 'shop',
    account: 'web',
    pod: pod.name,
    podUid: pod.uid,
    node: 'node-1',
  })
  t.like((delivered?.['what'] as readonly object[])[0], {
    secret: 'db',
    keys: ['password'],
    status: 'READY',
  })
  t.false(JSON.stringify(lines).includes('horse'))
  t.false(JSON.stringify(broker.log.lines).includes('horse'))
})
