import test from 'ava'
import * as fs from 'node:fs'
import { itemOf, readyItem } from '../../support/fake-broker.ts'
import { loopClock } from '../../support/loop-clock.ts'
import { createPod, startBroker, startSidecar, until } from '../../support/sidecar.ts'

const plan = `
- secret: db
  key: password
  path: /etc/app/db/password
- secret: tls
  path: /etc/app/tls/
`
const tls = (serial: string): ReturnType<typeof readyItem> =>
  readyItem('tls', { 'tls.crt': `cert ${serial}`, 'tls.key': `key ${serial}` })

test('a sidecar asks for what its plan needs, publishes it and says so', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const sidecar = startSidecar(t, { pod, plan, broker, planDigest: 'sha256:abc' })
  const stream = await broker.nextStream()
  const open = await stream.message(({ message }) => message === 'open')
  t.like(open['open'], {
    protocol_version: 1,
    token: Buffer.from('token-1'),
    references: [
      { secret: 'db', keys: ['password'] },
      { secret: 'tls', keys: [] },
    ],
    plan_digest: 'sha256:abc',
    client: 'test',
  })
  t.false(sidecar.agent.started)
  const begun = sidecar.agent.untilStarted()
  stream.accept()
  const sequence = stream.sendSet([readyItem('db', { password: 'one' }), tls('1')])
  t.deepEqual(await stream.acknowledged(sequence), {
    sequence,
    version: 'v1',
    outcome: 'OUTCOME_WRITTEN',
    secret: '',
  })
  t.is(pod.read('etc/app/db/password'), 'one')
  t.is(pod.read('etc/app/tls/tls.key'), 'key 1')
  t.true(sidecar.agent.started && sidecar.agent.ready)
  await begun
  await sidecar.agent.untilStarted()
  t.deepEqual(await sidecar.stop(), { kind: 'stopped' })
  await stream.ended
})

test('an update reaches the files, and equal content publishes nothing', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const { metrics } = startSidecar(t, { pod, plan, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('db', { password: 'one' }), tls('1')])
  await until(() => pod.read('etc/app/tls/tls.key') === 'key 1', 'first set')
  stream.sendSet([readyItem('db', { password: 'one' }), tls('2')])
  await until(() => pod.read('etc/app/tls/tls.key') === 'key 2', 'second set')
  t.is(fs.readlinkSync(pod.path('etc/app/db/..data')), '..gen-1')
  const sequence = stream.sendSet([readyItem('db', { password: 'one' }), tls('2')], 'other')
  await stream.acknowledged(sequence)
  t.is(fs.readlinkSync(pod.path('etc/app/tls/..data')), '..gen-2')
  t.regex(metrics.text(), /^latchkey_sidecar_publications_total 3$/m)
  t.regex(metrics.text(), /^latchkey_sidecar_sets_total 3$/m)
})

for (const status of ['STATUS_DENIED', 'STATUS_NOT_FOUND'] as const) {
  test(`${status} takes the files away at once, also from the generation before, and readiness with them`, async (t) => {
    const [broker, pod] = [await startBroker(t), createPod(t)]
    const { agent, lines } = startSidecar(t, { pod, plan, broker })
    const stream = await broker.nextStream()
    stream.accept()
    stream.sendSet([readyItem('db', { password: 'one' }), tls('1')])
    await until(() => agent.ready, 'ready')
    stream.sendSet([readyItem('db', { password: 'two' }), tls('1')])
    await until(() => pod.read('etc/app/db/password') === 'two', 'update')
    const sequence = stream.sendSet([itemOf('db', status), tls('1')])
    await until(() => pod.read('etc/app/db/password') === undefined, 'removal')
    t.false(fs.existsSync(pod.path('etc/app/db/..gen-2/password')))
    const texts = fs
      .readdirSync(pod.path('etc/app/db'), { recursive: true })
      .filter((name) => String(name).endsWith('password'))
    t.deepEqual(texts, [])
    t.is(pod.read('etc/app/tls/tls.key'), 'key 1')
    t.is((await stream.acknowledged(sequence, 'OUTCOME_WRITTEN'))['secret'], '')
    t.true(agent.started)
    t.false(agent.ready)
    t.true(lines.some((it) => it.event === 'entry.state' && it.fields['state'] === 'gone'))
    stream.sendSet([readyItem('db', { password: 'three' }), tls('1')])
    await until(() => agent.ready, 'ready again')
    t.is(pod.read('etc/app/db/password'), 'three')
  })
}

test('UNAVAILABLE, and a status of the future, keep the files and count as stale', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const { agent } = startSidecar(t, { pod, plan, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('db', { password: 'one' }), tls('1')])
  await until(() => agent.ready, 'ready')
  t.is(agent.staleMs, 0)
  for (const status of ['STATUS_UNAVAILABLE', 'STATUS_UNSPECIFIED'] as const) {
    stream.sendSet([itemOf('db', status), tls('2')])
    await until(() => agent.staleMs > 0, 'stale')
    t.is(pod.read('etc/app/db/password'), 'one')
    t.is(pod.read('etc/app/tls/tls.key'), 'key 2')
    t.true(agent.ready)
    stream.sendSet([readyItem('db', { password: 'one' }), tls('1')])
    await until(() => agent.staleMs === 0, 'fresh again')
  }
})

test('the broker’s own age is counted', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const { agent } = startSidecar(t, { pod, plan, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('db', { password: 'one' }), tls('1')])
  await until(() => agent.ready, 'ready')
  stream.send({ heartbeat: { stale_ms: 60_000, sequence: 1 } })
  await until(() => agent.staleMs >= 60_000, 'stale')
  stream.send({ heartbeat: { stale_ms: 0, sequence: 1 } })
  await until(() => agent.staleMs === 0, 'fresh')
  t.true(agent.ready)
})

test('a new pod waits for what is denied, says why, and starts by itself with the grant', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const { agent, lines } = startSidecar(t, { pod, plan, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([itemOf('db', 'STATUS_DENIED'), tls('1')])
  await until(() => pod.read('etc/app/tls/tls.key') === 'key 1', 'what is granted')
  t.false(agent.started)
  t.like(
    lines.find(({ event, fields }) => event === 'entry.state' && fields['secret'] === 'db'),
    { level: 'warn', fields: { path: '/etc/app/db/password', state: 'gone', reason: 'denied' } },
  )
  stream.sendSet([readyItem('db', { password: 'one' }), tls('1')])
  await until(() => agent.started, 'started')
  t.true(lines.some(({ event }) => event === 'pod.started'))
})

test('a key that is missing is as good as a secret that is missing', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const { agent } = startSidecar(t, { pod, plan, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('db', { password: 'one' }), tls('1')])
  await until(() => agent.ready, 'ready')
  const sequence = stream.sendSet([readyItem('db', {}), tls('1')])
  await until(() => pod.read('etc/app/db/password') === undefined, 'removal')
  t.is((await stream.acknowledged(sequence, 'OUTCOME_NOT_RENDERABLE'))['secret'], 'db')
})

test('a set of one directory is complete the first time, or waits', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const together = `
- { secret: a, key: k, path: /srv/app/a }
- { secret: b, key: k, path: /srv/app/b }
`
  const { agent, lines } = startSidecar(t, { pod, plan: together, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('a', { k: '1' }), itemOf('b', 'STATUS_UNAVAILABLE')])
  stream.send({ heartbeat: { stale_ms: 0, sequence: 1 } })
  await until(() => lines.some(({ event }) => event === 'entry.state'), 'the set was read')
  t.false(fs.existsSync(pod.path('srv/app')))
  stream.sendSet([readyItem('a', { k: '1' }), readyItem('b', { k: '2' })])
  await until(() => agent.started, 'started')
  t.deepEqual([pod.read('srv/app/a'), pod.read('srv/app/b')], ['1', '2'])
})

test('what a format cannot hold keeps its directory as it was, whole', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const formats = `
- { secret: a, format: dotenv, path: /srv/app/.env }
- { secret: a, key: K, path: /srv/app/key }
- { secret: a, key: K, path: /srv/other/key }
`
  const { agent } = startSidecar(t, { pod, plan: formats, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('a', { K: 'one' })])
  await until(() => agent.ready, 'ready')
  stream.sendSet([readyItem('a', { K: 'two\0' })])
  t.is((await stream.acknowledged(2, 'OUTCOME_NOT_RENDERABLE'))['secret'], 'a')
  t.is(pod.read('srv/app/.env'), "K='one'\n")
  t.is(pod.read('srv/app/key'), 'one')
  t.is(pod.read('srv/other/key'), 'two\0')
  t.true(agent.ready)
})

test('onDenied: keep keeps, and a grace is a grace', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const decisions = `
- { secret: a, key: k, path: /srv/kept/k, onDenied: keep }
- { secret: a, key: k, path: /srv/grace/k, grace: 300ms }
- { secret: a, key: k, path: /srv/gone/k }
`
  const { agent } = startSidecar(t, { pod, plan: decisions, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('a', { k: '1' })])
  await until(() => agent.ready, 'ready')
  const denied = loopClock.monotonicMs()
  stream.sendSet([itemOf('a', 'STATUS_DENIED')])
  await until(() => pod.read('srv/gone/k') === undefined, 'removal')
  await until(() => pod.read('srv/grace/k') === undefined, 'end of grace')
  const waited = loopClock.monotonicMs() - denied
  t.true(waited >= 290, `${waited} ms`)
  t.is(pod.read('srv/kept/k'), '1')
})

test('bound files are updated in place or wait for a restart, and are emptied by a decision', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const bound = `
- { secret: a, key: k, path: /etc/nginx/live, mount: file, update: in-place }
- { secret: a, key: k, path: /etc/nginx/fixed, mount: file, update: restart }
`
  const { agent, metrics, lines } = startSidecar(t, { pod, plan: bound, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('a', { k: 'one' })])
  await until(() => agent.started, 'started')
  const inode = fs.statSync(pod.path('etc/nginx/live')).ino
  stream.sendSet([readyItem('a', { k: 'two' })])
  t.is((await stream.acknowledged(2, 'OUTCOME_WAITS_FOR_RESTART'))['secret'], 'a')
  t.is(pod.read('etc/nginx/live'), 'two')
  t.is(pod.read('etc/nginx/fixed'), 'one')
  t.is(fs.statSync(pod.path('etc/nginx/live')).ino, inode)
  t.regex(metrics.text(), /files_waiting_for_restart 1$/m)
  t.true(lines.some(({ event }) => event === 'files.waiting_for_restart'))
  stream.sendSet([itemOf('a', 'STATUS_DENIED')])
  await until(() => pod.read('etc/nginx/fixed') === '', 'emptied')
  t.is(pod.read('etc/nginx/live'), '')
  stream.sendSet([readyItem('a', { k: 'three' })])
  await until(() => pod.read('etc/nginx/fixed') === 'three', 'filled again')
})
