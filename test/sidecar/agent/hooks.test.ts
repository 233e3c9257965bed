import test from 'ava'
import * as fs from 'node:fs'
import { itemOf, readyItem } from '../../support/fake-broker.ts'
import { startRecorder } from '../../support/http-recorder.ts'
import { pause } from '../../support/loop-clock.ts'
import { createPod, startBroker, startSidecar, until } from '../../support/sidecar.ts'
import { intercepted, Killed } from '../../support/publishing.ts'

const planFor = (port: number): string => `
- { secret: a, key: k, path: /srv/a/k, onChange: { http: "http://127.0.0.1:${port}/a" } }
- { secret: b, key: k, path: /srv/b/k, onChange: { http: "http://127.0.0.1:${port}/b" } }
- { secret: c, key: k, path: /srv/c/k, onChange: { touch: /srv/c/.changed } }
`
const setOf = (a: string, b: string, c = '1'): readonly ReturnType<typeof readyItem>[] => [
  readyItem('a', { k: a }),
  readyItem('b', { k: b }),
  readyItem('c', { k: c }),
]

test('hooks run after changes of their own entry, and not for the set a pod starts with', async (t) => {
  const [server, broker, pod] = [await startRecorder(t), await startBroker(t), createPod(t)]
  const { agent } = startSidecar(t, { pod, plan: planFor(server.port), broker })
  const stream = await broker.nextStream()
  stream.accept()
  await stream.acknowledged(stream.sendSet(setOf('1', '1')))
  t.true(agent.started)
  await stream.acknowledged(stream.sendSet(setOf('2', '1')))
  await until(() => server.requests.length === 1, 'the hook')
  await stream.acknowledged(stream.sendSet(setOf('2', '1')))
  await stream.acknowledged(stream.sendSet(setOf('2', '1', '2')))
  await until(() => fs.existsSync(pod.path('srv/c/.changed')), 'the touch')
  await stream.acknowledged(
    stream.sendSet([itemOf('a', 'STATUS_DENIED'), ...setOf('', '1', '2').slice(1)]),
  )
  await until(() => server.requests.length === 2, 'the hook of a removal')
  await pause(50)
  t.deepEqual(
    server.requests.map((request) => request.split(' ').at(-1)),
    ['/a', '/a'],
  )
})

test('a hook that fails is told to the broker, and its success too', async (t) => {
  const [server, broker, pod] = [await startRecorder(t), await startBroker(t), createPod(t)]
  server.status = 503
  startSidecar(t, { pod, plan: planFor(server.port), broker })
  const stream = await broker.nextStream()
  stream.accept()
  await stream.acknowledged(stream.sendSet(setOf('1', '1')))
  const sequence = stream.sendSet(setOf('1', '2'))
  await stream.acknowledged(sequence, 'OUTCOME_HOOK_FAILED')
  server.status = 200
  await stream.acknowledged(sequence, 'OUTCOME_WRITTEN')
  t.is(pod.read('srv/b/k'), '2')
})

test('killed between the switch and the hook, the next process runs the hook', async (t) => {
  const [server, broker, pod] = [await startRecorder(t), await startBroker(t), createPod(t)]
  let dead = false
  // Dies right after the rename that makes the second generation visible.
  const operations = intercepted((call, name, args) => {
    if (dead) throw new Killed()
    const result = call()
    if (name === 'rename' && String(args[1]).endsWith('/..data')) {
      dead = fs.existsSync(pod.path('srv/b/..gen-2'))
    }
    return result
  }, {})
  const first = startSidecar(t, { pod, plan: planFor(server.port), broker, operations })
  const stream = await broker.nextStream()
  stream.accept()
  await stream.acknowledged(stream.sendSet(setOf('1', '1')))
  stream.sendSet(setOf('1', '2'))
  await t.throwsAsync(first.ended)
  t.is(pod.read('srv/b/k'), '2')
  t.is(server.requests.length, 0)
  await broker.stop()
  startSidecar(t, { pod, plan: planFor(server.port), broker })
  await until(() => server.requests.length === 1, 'the hook, without a broker')
  t.regex(server.requests[0] ?? '', /\/b$/)
})

test('many changes while a hook runs end in one more run', async (t) => {
  const [server, broker, pod] = [await startRecorder(t), await startBroker(t), createPod(t)]
  const release = Promise.withResolvers<undefined>()
  server.hold = release.promise
  const plan = `- { secret: a, key: k, path: /srv/a/k, onChange: { http: "http://127.0.0.1:${server.port}/a" } }\n`
  startSidecar(t, { pod, plan, broker })
  const stream = await broker.nextStream()
  stream.accept()
  await stream.acknowledged(stream.sendSet([readyItem('a', { k: '0' })]))
  await stream.acknowledged(stream.sendSet([readyItem('a', { k: '1' })]))
  await until(() => server.requests.length === 1, 'a hook that waits for its answer')
  let last = 0
  for (let i = 2; i <= 6; i += 1) last = stream.sendSet([readyItem('a', { k: String(i) })])
  await stream.acknowledged(last)
  t.is(pod.read('srv/a/k'), '6')
  t.is(server.requests.length, 1)
  release.resolve(undefined)
  await until(() => server.requests.length === 2, 'one more run')
  await pause(100)
  t.is(server.requests.length, 2)
})
