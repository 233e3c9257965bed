import test from 'ava'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { systemFileOperations } from '../../../src/sidecar/publish/file-operations.ts'
import { StateDirectory } from '../../../src/sidecar/state-directory.ts'
import { itemOf, readyItem } from '../../support/fake-broker.ts'
import { pause } from '../../support/loop-clock.ts'
import { failing, generationsIn, intercepted, seen } from '../../support/publishing.ts'
import { createPod, startBroker, startSidecar, until } from '../../support/sidecar.ts'

const performHook = (): Promise<void> => Promise.resolve()
const plan = '- { secret: tls, path: /etc/app/tls/, onChange: { http: "http://127.0.0.1:1/" } }\n'

/** The names of files in any generation of a directory. */
const remains = (directory: string): string[] =>
  generationsIn(directory).flatMap((name) => Object.keys(seen(join(directory, name))))

test('a directory whose files were taken away does not count as there, now or after a restart', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const before = startSidecar(t, { pod, plan, broker, performHook, verifyEveryMs: 20 })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('tls', { key: 'one' })])
  await until(() => before.agent.ready, 'ready')
  stream.sendSet([itemOf('tls', 'STATUS_DENIED')])
  await stream.acknowledged(2)
  t.false(before.agent.ready)
  fs.unlinkSync(pod.path('etc/app/tls/..version'))
  await until(() => fs.existsSync(pod.path('etc/app/tls/..version')), 'a look at the files')
  t.false(before.agent.ready)
  stream.sendSet([itemOf('tls', 'STATUS_UNAVAILABLE')])
  await stream.acknowledged(3)
  await before.stop()
  await broker.stop()
  const after = startSidecar(t, { pod, plan, broker, performHook })
  t.true(after.agent.started)
  t.false(after.agent.ready)
})

test('a secret without keys is there without files, also after a restart', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const before = startSidecar(t, { pod, plan, broker, performHook })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('tls', {})])
  await until(() => before.agent.ready, 'ready')
  stream.sendSet([itemOf('tls', 'STATUS_UNAVAILABLE')])
  await stream.acknowledged(2)
  await before.stop()
  await broker.stop()
  t.true(startSidecar(t, { pod, plan, broker, performHook }).agent.ready)
})

test('what was published for another plan goes too when it is denied', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const together = `
- { secret: a, key: k, path: /srv/app/a }
- { secret: b, key: k, path: /srv/app/b }
`
  const before = startSidecar(t, { pod, plan: together, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('a', { k: '1' }), readyItem('b', { k: '1' })])
  await until(() => before.agent.ready, 'ready')
  await before.stop()
  startSidecar(t, { pod, plan: together.replace('/a }', '/a, mode: "0600" }'), broker })
  const later = await broker.nextStream()
  later.accept()
  later.sendSet([itemOf('a', 'STATUS_DENIED'), itemOf('b', 'STATUS_UNAVAILABLE')])
  await later.acknowledged(1)
  t.deepEqual(remains(pod.path('srv/app')), ['b'])
  t.is(pod.read('srv/app/b'), '1')
  later.sendSet([itemOf('a', 'STATUS_DENIED'), itemOf('b', 'STATUS_NOT_FOUND')])
  await later.acknowledged(2)
  t.deepEqual(remains(pod.path('srv/app')), [])
})

test('a removal that fails half-way is tried again until nothing is left', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  let unlinks = -1
  const operations = intercepted((call, name) => {
    // The first one takes the visible name away.
    if (name === 'unlink' && unlinks >= 0 && ++unlinks === 2) {
      throw Object.assign(new Error('EIO'), { code: 'EIO' })
    }
    return call()
  }, {})
  const { agent } = startSidecar(t, { pod, plan, broker, performHook, operations })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('tls', { key: 'one' })])
  await until(() => agent.ready, 'ready')
  unlinks = 0
  stream.sendSet([itemOf('tls', 'STATUS_DENIED')])
  await stream.acknowledged(2, 'OUTCOME_IO_ERROR')
  t.false(agent.ready)
  await stream.acknowledged(2, 'OUTCOME_WRITTEN')
  t.deepEqual(remains(pod.path('etc/app/tls')), [])
})

test('a hook runs once for what is denied, however long the volume stays full', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  let full = false
  const operations = failing('createFile', 'ENOSPC', () => full)
  let hooks = 0
  const counted = (): Promise<void> => {
    hooks += 1
    return Promise.resolve()
  }
  const state = new StateDirectory({ root: pod.root, path: '/state' }, systemFileOperations)
  const parts = { operations, performHook: counted, state }
  const { agent, lines } = startSidecar(t, { pod, plan, broker, ...parts })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('tls', { key: 'one' })])
  await until(() => agent.started, 'started')
  full = true
  stream.sendSet([itemOf('tls', 'STATUS_DENIED')])
  const failures = (): number => lines.filter(({ event }) => event === 'files.failed').length
  await until(() => failures() >= 3, 'repetitions')
  t.deepEqual(remains(pod.path('etc/app/tls')), [])
  full = false
  await stream.acknowledged(2, 'OUTCOME_WRITTEN')
  t.is(hooks, 1)
})

test('what a publication replaced goes in time, also when something failed after the switch', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  let armed = false
  const operations = intercepted((call, name) => {
    if (name === 'sync' && armed && fs.readlinkSync(pod.path('etc/app/tls/..data')) === '..gen-2') {
      armed = false
      throw Object.assign(new Error('EIO'), { code: 'EIO' })
    }
    return call()
  }, {})
  const parts = { operations, performHook, previousKeptMs: 50 }
  const { agent } = startSidecar(t, { pod, plan, broker, ...parts })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('tls', { key: 'one' })])
  await until(() => agent.ready, 'ready')
  // The grace of the first publication is over before the second begins.
  await pause(200)
  armed = true
  stream.sendSet([readyItem('tls', { key: 'two' })])
  await stream.acknowledged(2, 'OUTCOME_IO_ERROR')
  await stream.acknowledged(2, 'OUTCOME_WRITTEN')
  t.is(pod.read('etc/app/tls/key'), 'two')
  await until(() => generationsIn(pod.path('etc/app/tls')).join() === '..gen-2', 'the end of grace')
})

test('a bound file that cannot be emptied at first is emptied later', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const bound = '- { secret: a, key: k, path: /srv/app/k, mount: file, update: in-place }\n'
  const operations = failing('truncate', 'EIO', (call) => call === 1)
  startSidecar(t, { pod, plan: bound, broker, operations })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('a', { k: 'one' })])
  await stream.acknowledged(1)
  stream.sendSet([itemOf('a', 'STATUS_DENIED')])
  await stream.acknowledged(2, 'OUTCOME_IO_ERROR')
  await stream.acknowledged(2, 'OUTCOME_WRITTEN')
  t.is(pod.read('srv/app/k'), '')
})

test('a bound file is remembered before it is there', async (t) => {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const bound = '- { secret: a, key: k, path: /srv/app/k, mount: file, update: restart }\n'
  let broken = true
  // The first makes the directory of the journal, the second notes that the file is begun.
  const operations = failing('rename', 'EIO', (call) => broken && call > 2)
  const state = new StateDirectory({ root: pod.root, path: '/state' }, operations)
  const before = startSidecar(t, { pod, plan: bound, broker, state })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('a', { k: 'one' })])
  await stream.acknowledged(1, 'OUTCOME_IO_ERROR')
  t.is(pod.read('srv/app/k'), 'one')
  // As after kill -9 between the file and the journal.
  await before.stop()
  broken = false
  startSidecar(t, { pod, plan: bound, broker, state })
  const later = await broker.nextStream()
  later.accept()
  later.sendSet([itemOf('a', 'STATUS_DENIED')])
  await later.acknowledged(1)
  t.is(pod.read('srv/app/k'), '')
  later.sendSet([readyItem('a', { k: 'two' })])
  await later.acknowledged(2)
  t.is(pod.read('srv/app/k'), 'two')
})
