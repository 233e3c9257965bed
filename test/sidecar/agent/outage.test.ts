import test from 'ava'
import * as fs from 'node:fs'
import { isLatchkeyError } from '../../../src/base/errors.ts'
import { StateDirectory } from '../../../src/sidecar/state-directory.ts'
import { failing } from '../../support/publishing.ts'
import { itemOf, readyItem } from '../../support/fake-broker.ts'
import { loopClock, pause } from '../../support/loop-clock.ts'
import {
  clockWithSleep,
  createPod,
  startBroker,
  startSidecar,
  until,
} from '../../support/sidecar.ts'

const plan = '- { secret: db, key: password, path: /etc/app/db/password, grace: 400ms }\n'
const set = (password: string): readonly ReturnType<typeof readyItem>[] => [
  readyItem('db', { password }),
]

test('a broker that dies takes no file with it, and its successor is found', async (t) => {
  const pod = createPod(t)
  const first = await startBroker(t)
  const { agent } = startSidecar(t, { pod, plan, broker: first })
  const stream = await first.nextStream()
  stream.accept()
  stream.sendSet(set('one'))
  await until(() => agent.ready, 'ready')
  await first.stop()
  await until(() => agent.staleMs > 0, 'stale')
  t.is(pod.read('etc/app/db/password'), 'one')
  t.true(agent.ready && agent.started)
  const second = await startBroker(t, first.address.port)
  const again = await second.nextStream()
  await again.message(({ message }) => message === 'open')
  again.accept()
  const sequence = again.sendSet(set('one'))
  await again.acknowledged(sequence)
  t.is(agent.staleMs, 0)
  t.is(fs.readlinkSync(pod.path('etc/app/db/..data')), '..gen-1', 'the same content is no news')
})

test('restarted while no broker answers, it adopts what was published and is started at once', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  const before = startSidecar(t, { pod, plan, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet(set('one'))
  await until(() => before.agent.ready, 'ready')
  await before.stop()
  await broker.stop()
  const after = startSidecar(t, { pod, plan, broker })
  t.true(after.agent.started && after.agent.ready)
  await until(() => after.lines.some(({ event }) => event === 'broker.failed'), 'a failed attempt')
  t.is(pod.read('etc/app/db/password'), 'one')
  t.true(after.agent.started && after.agent.ready)
})

test('the age of what is published goes on over a restart', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  const before = startSidecar(t, { pod, plan, broker, bootMs: () => 1_000_000 })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet(set('one'))
  await until(() => before.agent.ready, 'ready')
  await before.stop()
  await broker.stop()
  const after = startSidecar(t, { pod, plan, broker, bootMs: () => 1_500_000 })
  t.true(after.agent.staleMs >= 500_000)
})

test('a decision stands until there is another one, whatever cannot be told in between', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  const before = startSidecar(t, { pod, plan: plan.replace('400ms', '1h'), broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet(set('one'))
  await until(() => before.agent.ready, 'ready')
  stream.sendSet([itemOf('db', 'STATUS_DENIED')])
  stream.sendSet([itemOf('db', 'STATUS_UNAVAILABLE')])
  await stream.acknowledged(3)
  t.is(pod.read('etc/app/db/password'), 'one')
  await before.stop()
  // The grace goes on, and so it does after the next answer that is none.
  startSidecar(t, { pod, plan: plan.replace('400ms', '1h'), broker, bootMs: () => 3_590_000 })
  const second = await broker.nextStream()
  second.accept()
  second.sendSet([itemOf('db', 'STATUS_UNAVAILABLE')])
  await second.acknowledged(1)
  const { deniedSince } = JSON.parse(pod.read('run/latchkey/journal.json') ?? '') as {
    readonly deniedSince: Readonly<Record<string, number>>
  }
  t.true((deniedSince['0'] ?? Infinity) < 3_590_000)
  second.sendSet(set('two'))
  await second.acknowledged(2)
  t.is(pod.read('etc/app/db/password'), 'two')
})

test('a grace ends while the broker cannot tell', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  const { agent } = startSidecar(t, { pod, plan, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet(set('one'))
  await until(() => agent.ready, 'ready')
  stream.sendSet([itemOf('db', 'STATUS_DENIED')])
  stream.sendSet([itemOf('db', 'STATUS_UNAVAILABLE')])
  await until(() => pod.read('etc/app/db/password') === undefined, 'the end of grace')
  t.false(agent.ready)
})

test('a decision outlives the process that heard it', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  const patient = plan.replace('400ms', '1h')
  const before = startSidecar(t, { pod, plan: patient, broker, bootMs: () => 0 })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet(set('one'))
  await until(() => before.agent.ready, 'ready')
  const sequence = stream.sendSet([itemOf('db', 'STATUS_DENIED')])
  await stream.acknowledged(sequence)
  await before.stop()
  await broker.stop()
  t.is(pod.read('etc/app/db/password'), 'one', 'in its grace')
  // Nothing else may wake it: no broker answers, and no look at the files is near.
  const verifyEveryMs = 3_600_000
  startSidecar(t, { pod, plan: patient, broker, bootMs: () => 3_600_000, verifyEveryMs })
  await until(() => pod.read('etc/app/db/password') === undefined, 'the end of the grace')
})

for (const [onStale, ready, password] of [
  ['report', true, 'one'],
  ['unready', false, 'one'],
  ['remove', false, undefined],
] as const) {
  test(`after the limit of staleness: ${onStale}`, async (t) => {
    const pod = createPod(t)
    const broker = await startBroker(t)
    const { agent, lines } = startSidecar(t, { pod, plan, broker, maxStaleMs: 300, onStale })
    const stream = await broker.nextStream()
    stream.accept()
    stream.sendSet(set('one'))
    await until(() => agent.ready, 'ready')
    await pause(500)
    t.true(agent.ready, 'not stale while the broker is there')
    const { address } = broker
    await broker.stop()
    await until(() => lines.some(({ event }) => event === 'stale.limit'), 'the limit')
    await until(() => pod.read('etc/app/db/password') === password, 'what then happens')
    await until(() => agent.ready === ready, 'readiness')
    t.true(agent.started)
    const again = await (await startBroker(t, address.port)).nextStream()
    again.accept()
    again.sendSet(set('two'))
    await until(() => agent.ready && pod.read('etc/app/db/password') === 'two', 'recovery')
  })
}

test('a full volume keeps the old set, says so, and is retried until there is room', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  let full = false
  const operations = failing('createFile', 'ENOSPC', () => full)
  const { agent, lines, metrics } = startSidecar(t, { pod, plan, broker, operations })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet(set('one'))
  await until(() => agent.ready, 'ready')
  full = true
  const sequence = stream.sendSet(set('two'))
  await stream.acknowledged(sequence, 'OUTCOME_DISK_FULL')
  t.is(pod.read('etc/app/db/password'), 'one')
  t.true(
    lines.some(({ event, error }) => event === 'files.failed' && error.includes('no space left')),
  )
  await until(() => agent.staleMs > 0, 'what is there is not what should be')
  stream.send({ heartbeat: { stale_ms: 0, sequence } })
  full = false
  await stream.acknowledged(sequence, 'OUTCOME_WRITTEN')
  t.is(agent.staleMs, 0)
  t.is(pod.read('etc/app/db/password'), 'two')
  t.regex(metrics.text(), /publication_failures_total\{code="ERR_DISK_FULL"\} [1-9]/)
})

test('a full volume does not keep a denied file', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  let full = false
  const operations = failing('createFile', 'ENOSPC', () => full)
  const denied = '- { secret: db, key: password, path: /etc/app/db/password }\n'
  const { agent } = startSidecar(t, { pod, plan: denied, broker, operations })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet(set('one'))
  await until(() => agent.ready, 'ready')
  full = true
  const sequence = stream.sendSet([itemOf('db', 'STATUS_DENIED')])
  await until(() => pod.read('etc/app/db/password') === undefined, 'removal')
  t.false(fs.existsSync(pod.path('etc/app/db/..gen-1/password')))
  full = false
  await stream.acknowledged(sequence, 'OUTCOME_WRITTEN')
})

test('a pod starts although what is remembered could not be written at first', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  const operations = failing('rename', 'EIO', (call) => call === 1)
  const state = new StateDirectory({ root: pod.root, path: '/state' }, operations)
  const { agent, lines } = startSidecar(t, { pod, plan, broker, state, verifyEveryMs: 50 })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet(set('one'))
  await until(() => agent.ready, 'ready')
  await until(() => agent.started, 'started')
  t.true(lines.some(({ event }) => event === 'state.failed'))
})

test('a read-only volume is told as such', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  const operations = failing('makeDirectory', 'EROFS')
  const { agent } = startSidecar(t, { pod, plan, broker, operations })
  const stream = await broker.nextStream()
  stream.accept()
  await stream.acknowledged(stream.sendSet(set('one')), 'OUTCOME_READ_ONLY')
  t.false(agent.started)
})

test('what is lost between sets is asked for again', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  const { agent, lines } = startSidecar(t, { pod, plan, broker, verifyEveryMs: 100 })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet(set('one'))
  await until(() => agent.ready, 'ready')
  fs.unlinkSync(pod.path('etc/app/db/password'))
  await until(() => pod.read('etc/app/db/password') === 'one', 'the link')
  fs.rmSync(pod.path('etc/app/db'), { recursive: true })
  const again = await broker.nextStream()
  again.accept()
  again.sendSet(set('one'))
  await until(() => pod.read('etc/app/db/password') === 'one', 'everything')
  t.true(lines.some(({ event }) => event === 'files.repaired'))
  t.true(lines.some(({ event }) => event === 'files.lost'))
})

test('a broker that says goodbye is left, and asked again within the window it gave', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  const { agent } = startSidecar(t, { pod, plan, broker, random: () => 0.5 })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet(set('one'))
  await until(() => agent.ready, 'ready')
  const left = loopClock.monotonicMs()
  stream.goodbye('GOODBYE_REASON_DRAINING', { min: 100, max: 300 })
  const again = await broker.nextStream()
  const waited = loopClock.monotonicMs() - left
  t.true(waited >= 190 && waited < 3000, `${waited} ms`)
  again.goodbye('GOODBYE_REASON_TOKEN_REFUSED', { min: 10, max: 20 })
  const third = await broker.nextStream()
  third.accept()
  t.is(pod.read('etc/app/db/password'), 'one')
})

test('a broker that says nothing but goodbye is not asked without end', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  startSidecar(t, { pod, plan, broker })
  const begun = loopClock.monotonicMs()
  for (let opened = 0; opened < 4; opened += 1) {
    const stream = await broker.nextStream()
    stream.goodbye('GOODBYE_REASON_DRAINING', { min: 1, max: 2 })
  }
  const lasted = loopClock.monotonicMs() - begun
  t.true(lasted >= 1400, `${lasted} ms`)
})

test('a token that is renewed in its file is sent on the open stream', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  // The look at the token file, every 10 seconds, comes sooner.
  const clock = clockWithSleep(10_000, () => pause(50))
  const { lines } = startSidecar(t, { pod, plan, broker, clock })
  const stream = await broker.nextStream()
  stream.accept(60_000)
  fs.writeFileSync(pod.token, 'token-2')
  const { token_refresh: refresh } = await stream.message(
    ({ message }) => message === 'token_refresh',
  )
  t.deepEqual(refresh, { token: Buffer.from('token-2') })
  fs.writeFileSync(pod.token, '')
  await until(() => lines.some(({ event }) => event === 'token.failed'), 'the complaint')
  t.is(stream.received.filter(({ message }) => message === 'token_refresh').length, 1)
})

test('a fault that is nobody’s is not swallowed', async (t) => {
  const pod = createPod(t)
  const broker = await startBroker(t)
  const sidecar = startSidecar(t, {
    pod,
    plan,
    broker,
    random: () => {
      throw new TypeError('a mistake of ours')
    },
  })
  await broker.stop()
  const error = await t.throwsAsync(sidecar.ended)
  t.false(isLatchkeyError(error))
})
