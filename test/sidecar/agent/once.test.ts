import test from 'ava'
import { itemOf, readyItem } from '../../support/fake-broker.ts'
import {
  clockWithSleep,
  createPod,
  startBroker,
  startSidecar,
  until,
} from '../../support/sidecar.ts'
import { failing } from '../../support/publishing.ts'

const plan = `
- { secret: db, key: password, path: /etc/app/db/password }
- { secret: tls, path: /etc/app/tls/ }
`
const once = { timeoutMs: 60_000 }

test('once: ends when every file is published, acknowledged and complete', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const sidecar = startSidecar(t, { pod, plan, broker, once })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('db', { password: 'one' }), readyItem('tls', { a: '1', b: '2' })])
  t.deepEqual(await sidecar.ended, { kind: 'published' })
  await stream.acknowledged(1)
  t.is(pod.read('etc/app/tls/b'), '2')
})

test('once: a second run with the same content is as good', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  for (let run = 0; run < 2; run += 1) {
    const sidecar = startSidecar(t, { pod, plan, broker, once })
    const stream = await broker.nextStream()
    stream.accept()
    stream.sendSet([readyItem('db', { password: 'one' }), readyItem('tls', { a: '1' })])
    t.deepEqual(await sidecar.ended, { kind: 'published' })
  }
})

test('once: what is denied, missing or lacks a key is told, each by name', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const three = `${plan}- { secret: api, key: token, path: /etc/app/api/token }\n`
  const sidecar = startSidecar(t, { pod, plan: three, broker, once })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([
    itemOf('db', 'STATUS_DENIED'),
    itemOf('tls', 'STATUS_NOT_FOUND'),
    readyItem('api', {}),
  ])
  t.deepEqual(await sidecar.ended, {
    kind: 'denied',
    shortfalls: [
      { secret: 'db', path: '/etc/app/db/password', why: 'the service account may not mount it' },
      { secret: 'tls', path: '/etc/app/tls', why: 'there is no such secret' },
      { secret: 'api', path: '/etc/app/api/token', why: 'it has no key token' },
    ],
  })
})

test('once: waits for what is unavailable, and gives up in time', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const deadline = Promise.withResolvers<undefined>()
  const clock = clockWithSleep(once.timeoutMs, () => deadline.promise)
  const sidecar = startSidecar(t, { pod, plan, broker, once, clock })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('db', { password: 'one' }), itemOf('tls', 'STATUS_UNAVAILABLE')])
  await until(() => pod.read('etc/app/db/password') === 'one', 'what is there')
  deadline.resolve(undefined)
  t.like(await sidecar.ended, { kind: 'unreachable' })
  t.is(pod.read('etc/app/db/password'), 'one')
})

test('once: what an earlier run was denied is no answer of now', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const tls = readyItem('tls', { a: '1' })
  const first = startSidecar(t, { pod, plan, broker, once })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([itemOf('db', 'STATUS_DENIED'), tls])
  t.like(await first.ended, { kind: 'denied' })
  const second = startSidecar(t, { pod, plan, broker, once })
  const later = await broker.nextStream()
  later.accept()
  later.sendSet([itemOf('db', 'STATUS_UNAVAILABLE'), tls])
  later.sendSet([readyItem('db', { password: 'one' }), tls])
  t.deepEqual(await second.ended, { kind: 'published' })
})

test('once: a broker that is not there is unreachable, with the last reason', async (t) => {
  const pod = createPod(t)
  const broker = { address: { host: '127.0.0.1', port: 1 } }
  const deadline = Promise.withResolvers<undefined>()
  const clock = clockWithSleep(once.timeoutMs, () => deadline.promise)
  const sidecar = startSidecar(t, { pod, plan, broker, once, clock })
  await until(() => sidecar.lines.some(({ event }) => event === 'broker.failed'), 'an attempt')
  deadline.resolve(undefined)
  const end = await sidecar.ended
  t.is(end.kind === 'unreachable' && end.error?.code, 'ERR_BROKER_UNREACHABLE')
})

test('once: a refusal of the pod ends it, a busy broker does not', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const sidecar = startSidecar(t, { pod, plan, broker, once })
  const stream = await broker.nextStream()
  stream.goodbye('GOODBYE_REASON_REVIEW_UNAVAILABLE', { min: 1, max: 2 })
  const second = await broker.nextStream()
  second.goodbye('GOODBYE_REASON_TOKEN_REFUSED')
  t.deepEqual(await sidecar.ended, { kind: 'refused', reason: 'token-refused' })
})

test('once: a broker of another protocol is a failure', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const sidecar = startSidecar(t, { pod, plan, broker, once })
  ;(await broker.nextStream()).goodbye('GOODBYE_REASON_PROTOCOL_VERSION')
  const end = await sidecar.ended
  t.is(end.kind === 'failed' && end.error.code, 'ERR_BROKER_PROTOCOL')
})

test('once: a file that cannot be written or rendered is a failure', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const operations = failing('createFile', 'ENOSPC')
  const full = startSidecar(t, { pod, plan, broker, once, operations })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('db', { password: 'one' }), readyItem('tls', { a: '1' })])
  const end = await full.ended
  t.is(end.kind === 'failed' && end.error.code, 'ERR_DISK_FULL')
  const dotenv = '- { secret: db, format: dotenv, path: /etc/app/env/.env }\n'
  const odd = startSidecar(t, { pod, plan: dotenv, broker, once })
  const second = await broker.nextStream()
  second.accept()
  second.sendSet([readyItem('db', { 'not-a-name': 'one' })])
  const other = await odd.ended
  t.is(other.kind === 'failed' && other.error.code, 'ERR_NOT_RENDERABLE')
})

test('once: a token that cannot be read is a failure', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const sidecar = startSidecar(t, { pod: { ...pod, token: '/nowhere' }, plan, broker, once })
  const end = await sidecar.ended
  t.is(end.kind === 'failed' && end.error.code, 'ERR_TOKEN_INVALID')
  t.is(broker.streams.length, 0)
})
