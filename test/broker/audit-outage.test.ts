import test from 'ava'
import { status, Metadata } from '@grpc/grpc-js'
import type { AuditFile } from '../../src/observe/audit-file.ts'
import { until } from '../e2e/support/until.ts'
import { hangingFile } from '../support/audit-log.ts'
import { connectBroker, farewell, openStream, shows } from '../support/broker-client.ts'
import { startBroker } from '../support/broker.ts'
import { FakeCluster } from '../support/fake-cluster.ts'
import { startFakeKubernetes } from '../support/fake-kubernetes.ts'
import { loopClock, pause } from '../support/loop-clock.ts'

const soon = { timeoutMs: 40_000, everyMs: 5 }

test('while the audit cannot be written nothing new is handed out, and what must go goes', async (t) => {
  const disk = { full: false }
  const auditFile = (file: AuditFile): AuditFile => ({
    end: file.end,
    damaged: false,
    size: 0,
    append: async (bytes) => {
      if (disk.full) throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
      await file.append(bytes)
    },
    sync: () => file.sync(),
    current: () => file.current(),
    close: () => file.close(),
  })
  const kubernetes = await startFakeKubernetes(t)
  const cluster = new FakeCluster(kubernetes)
  for (const name of ['db', 'tls']) {
    cluster.setSecret(name, { k: 'one' })
    cluster.grant('web', name)
  }
  const broker = await startBroker(t, { kubernetes, auditFile })
  const pod = cluster.addPod()
  const it = openStream(t, broker, { token: cluster.token(pod), references: ['db', 'tls'] })
  await shows(t, it, 'db=READY k=one, tls=READY k=one')
  t.is(await broker.ready(), 200)
  disk.full = true
  cluster.setSecret('db', { k: 'two' })
  await pause(500)
  t.is(it.shown(), 'db=READY k=one, tls=READY k=one')
  cluster.revoke('web', 'tls')
  await shows(t, it, 'db=UNAVAILABLE, tls=DENIED')
  const other = cluster.addPod()
  const newcomer = openStream(t, broker, { token: cluster.token(other), references: ['db'] })
  t.is(await farewell(t, newcomer), 'REVIEW_UNAVAILABLE UNAVAILABLE')
  t.is(await broker.ready(), 503)
  disk.full = false
  await shows(t, it, 'db=READY k=two, tls=DENIED')
  const sequences = it.sets.map(({ sequence }) => sequence)
  t.deepEqual(
    sequences,
    [...new Set(sequences)].sort((a, b) => a - b),
  )
  await until('readiness', async () => (await broker.ready()) === 200, soon)
})

test('an audit file that does not answer keeps no withdrawal from a pod', async (t) => {
  const { hold, wrap: auditFile } = hangingFile()
  const kubernetes = await startFakeKubernetes(t)
  const cluster = new FakeCluster(kubernetes)
  for (const name of ['db', 'tls']) {
    cluster.setSecret(name, { k: 'one' })
    cluster.grant('web', name)
  }
  const broker = await startBroker(t, { kubernetes, auditFile, auditLimits: { stalledMs: 1_500 } })
  const token = cluster.token(cluster.addPod())
  const it = openStream(t, broker, { token, references: ['db', 'tls'] })
  await shows(t, it, 'db=READY k=one, tls=READY k=one')
  const { promise, resolve } = Promise.withResolvers<undefined>()
  hold.gate = promise.then(() => undefined)
  cluster.setSecret('db', { k: 'two' })
  await pause(100)
  cluster.removeSecret('tls')
  await shows(t, it, 'db=UNAVAILABLE, tls=NOT_FOUND')
  t.is(await broker.ready(), 503)
  resolve(undefined)
  await shows(t, it, 'db=READY k=two, tls=NOT_FOUND')
})

test('a stream that was being opened when the broker began to stop is sent elsewhere like the others', async (t) => {
  const { hold, wrap: auditFile } = hangingFile()
  const kubernetes = await startFakeKubernetes(t)
  const cluster = new FakeCluster(kubernetes)
  cluster.setSecret('db', { k: 'one' })
  cluster.grant('web', 'db')
  const broker = await startBroker(t, { kubernetes, auditFile })
  const { promise, resolve } = Promise.withResolvers<undefined>()
  hold.gate = promise.then(() => undefined)
  const pod = cluster.addPod()
  const it = openStream(t, broker, { token: cluster.token(pod), references: ['db'] })
  await until('the Pod to be read', () => kubernetes.asked('GET', pod.name).length > 0, soon)
  await pause(50)
  const startedAtMs = loopClock.monotonicMs()
  const stopped = broker.stop()
  await pause(50)
  resolve(undefined)
  t.is(await farewell(t, it), 'DRAINING UNAVAILABLE')
  t.deepEqual(it.sets, [])
  await stopped
  t.true(loopClock.monotonicMs() - startedAtMs < 5_000)
})

test('who may list the pods of a namespace sees who has which version, and others do not', async (t) => {
  const kubernetes = await startFakeKubernetes(t)
  const cluster = new FakeCluster(kubernetes)
  cluster.setSecret('db', { k: 'one' })
  cluster.grant('web', 'db')
  const broker = await startBroker(t, { kubernetes })
  const pods = [cluster.addPod(), cluster.addPod()]
  const [first, second] = pods.map((pod) =>
    openStream(t, broker, { token: cluster.token(pod), references: ['db'] }),
  )
  if (first === undefined || second === undefined) throw new Error('unreachable')
  await shows(t, first, 'db=READY k=one')
  await shows(t, second, 'db=READY k=one')
  first.acknowledge()
  second.acknowledge('OUTCOME_READ_ONLY')
  const admin = cluster.token(cluster.addPod(), { bound: false, user: 'admin' })
  const ask = (
    token: string | undefined,
    namespace = 'shop',
  ): Promise<readonly Record<string, unknown>[]> =>
    new Promise((resolve, reject) => {
      const metadata = new Metadata()
      if (token !== undefined) metadata.set('authorization', `Bearer ${token}`)
      const call = connectBroker(t, broker).DeliveryStatus({ namespace, secret: 'db' }, metadata)
      const found: Record<string, unknown>[] = []
      call.on('data', (message: Record<string, unknown>) => found.push(message))
      call.on('error', reject)
      call.on('end', () => {
        resolve(found)
      })
    })
  await until(
    'the acknowledgements',
    async () =>
      (await broker.audit()).filter(({ event }) => event === 'set.acknowledged').length === 2,
    soon,
  )
  const [replica, ...statuses] = await ask(admin)
  t.like(replica, { replica: { replica: 'replica-1' } })
  t.deepEqual(
    statuses
      .map((it) => it['pod'] as Record<string, unknown>)
      .map((it) => [it['pod_name'], it['status'], it['current'], it['outcome']])
      .sort(),
    [
      [pods[0]?.name, 'STATUS_READY', true, 'OUTCOME_WRITTEN'],
      [pods[1]?.name, 'STATUS_READY', false, 'OUTCOME_READ_ONLY'],
    ],
  )
  cluster.setSecret('db', { k: 'two' })
  await shows(t, first, 'db=READY k=two')
  const later = await ask(admin)
  t.true(later.slice(1).every((it) => (it['pod'] as Record<string, unknown>)['current'] === false))
  t.is((await ask(admin, 'elsewhere')).length, 1)
  await t.throwsAsync(ask(cluster.token(pods[0] ?? t.fail())), {
    code: status.PERMISSION_DENIED,
  } as object)
  await t.throwsAsync(ask('forged'), { code: status.UNAUTHENTICATED } as object)
  await t.throwsAsync(ask(undefined), { code: status.UNAUTHENTICATED } as object)
  const events = async (): Promise<readonly unknown[]> =>
    (await broker.audit()).map(({ event }) => event)
  t.true((await events()).includes('status.read'))
  // Refusals do not wait for their record.
  await until('the refusal', async () => (await events()).includes('status.refused'), soon)
})
