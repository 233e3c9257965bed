import test from 'ava'
import { createAuthority } from '../../e2e/support/authority.ts'
import { readyItem, startFakeBroker } from '../../support/fake-broker.ts'
import {
  brokerIdentity,
  createPod,
  startBroker,
  startSidecar,
  testAuthority,
  until,
} from '../../support/sidecar.ts'

const next = await createAuthority('next authority')
const successor = await next.issue({ commonName: 'broker', hosts: ['127.0.0.1'], use: ['server'] })
const plan = '- { secret: db, key: k, path: /srv/db/k }\n'
const both = Buffer.from(`${testAuthority.cert}\n${next.cert}`)

test('a broker of the next authority is trusted once the former one has introduced it', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  const { agent, lines } = startSidecar(t, { pod, plan, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.send({ ca_bundle: { pem: both } })
  stream.sendSet([readyItem('db', { k: 'one' })])
  await until(() => agent.ready, 'ready')
  t.true(lines.some(({ event }) => event === 'ca.adopted'))
  const { port } = broker.address
  await broker.stop()
  const after = await startFakeBroker(t, { identity: successor, port })
  const again = await after.nextStream()
  await again.message(({ message }) => message === 'open')
  t.pass('the token was sent to the successor')
})

test('an adopted bundle outlives the process, and what the pod was started with is a fallback', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  const first = startSidecar(t, { pod, plan, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.send({ ca_bundle: { pem: both } })
  await until(() => first.lines.some(({ event }) => event === 'ca.adopted'), 'adoption')
  await first.stop()
  const after = await startFakeBroker(t, { identity: successor })
  startSidecar(t, { pod, plan, broker: after })
  await after.nextStream()
  // A bundle of the next authority alone, over a connection that it verifies.
  const third = await startFakeBroker(t, { identity: successor })
  const only = startSidecar(t, { pod, plan, broker: third })
  const stream3 = await third.nextStream()
  stream3.accept()
  stream3.send({ ca_bundle: { pem: Buffer.from(next.cert) } })
  await until(() => only.lines.some(({ event }) => event === 'ca.adopted'), 'the second adoption')
  await only.stop()
  const old = await startFakeBroker(t, { identity: brokerIdentity })
  startSidecar(t, { pod, plan, broker: old })
  await old.nextStream()
  t.pass('the authority that the pod was started with still verifies')
})

test('a bundle that does not verify the connection over which it came is refused', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  const { lines } = startSidecar(t, { pod, plan, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.send({ ca_bundle: { pem: Buffer.from(next.cert) } })
  await until(() => lines.some(({ event }) => event === 'ca.refused'), 'refusal')
  const { port } = broker.address
  await broker.stop()
  const impostor = await startFakeBroker(t, { identity: successor, port })
  await until(
    () => lines.some(({ event, error }) => event === 'broker.failed' && error.includes('verify')),
    'mistrust',
  )
  t.is(impostor.streams.length, 0)
})
