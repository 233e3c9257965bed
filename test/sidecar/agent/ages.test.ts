import test from 'ava'
import { systemClock } from '../../../src/base/clock.ts'
import { itemOf, readyItem } from '../../support/fake-broker.ts'
import { createPod, startBroker, startSidecar, until } from '../../support/sidecar.ts'

const plan = '- { secret: db, key: password, path: /etc/app/db/password }\n'
/** What a broker says of what it has never known, as nothing is longer. */
const endless = Number.MAX_SAFE_INTEGER
const hour = 3_600_000
const soon = { min: 1, max: 2 }

test('a broker that has never known takes nothing of what another one confirmed', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const limit = { maxStaleMs: hour, onStale: 'remove' } as const
  const { agent, lines } = startSidecar(t, { pod, plan, broker, ...limit })
  const first = await broker.nextStream()
  first.accept()
  first.sendSet([readyItem('db', { password: 'one' })])
  await until(() => agent.ready, 'ready')
  first.goodbye('GOODBYE_REASON_DRAINING', soon)
  const second = await broker.nextStream()
  second.accept()
  second.send({ heartbeat: { stale_ms: endless, sequence: 0 } })
  second.sendSet([itemOf('db', 'STATUS_UNAVAILABLE')])
  second.send({ heartbeat: { stale_ms: endless, sequence: 1 } })
  second.sendSet([itemOf('db', 'STATUS_UNSPECIFIED')])
  await second.acknowledged(2)
  t.is(pod.read('etc/app/db/password'), 'one')
  t.true(agent.ready)
  t.true(agent.staleMs > 0 && agent.staleMs < hour, String(agent.staleMs))
  t.false(lines.some(({ event }) => event === 'stale.limit'))
})

test('a heartbeat before the first set confirms nothing', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  let later = 0
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + later }
  const { agent } = startSidecar(t, { pod, plan, broker, clock })
  const first = await broker.nextStream()
  first.accept()
  first.sendSet([readyItem('db', { password: 'one' })])
  await until(() => agent.ready, 'ready')
  first.goodbye('GOODBYE_REASON_DRAINING', soon)
  const second = await broker.nextStream()
  later = hour
  second.accept()
  second.send({ heartbeat: { stale_ms: 0, sequence: 0 } })
  second.sendSet([itemOf('db', 'STATUS_UNAVAILABLE')])
  await second.acknowledged(1)
  t.true(agent.staleMs >= hour, String(agent.staleMs))
  second.sendSet([readyItem('db', { password: 'one' })])
  await second.acknowledged(2)
  t.is(agent.staleMs, 0)
})
