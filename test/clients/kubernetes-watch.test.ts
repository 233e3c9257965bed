import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../src/base/clock.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import { createKubernetesClient } from '../../src/clients/kubernetes.ts'
import { metaOf, objectOf } from '../../src/clients/kubernetes-objects.ts'
import { watchResource, type ResourceWatch } from '../../src/clients/kubernetes-watch.ts'
import { until } from '../e2e/support/until.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { startFakeKubernetes, type FakeKubernetes } from '../support/fake-kubernetes.ts'

const path = '/api/v1/namespaces/shop/pods'
const soon = { timeoutMs: 30_000, everyMs: 5 }

interface Watched {
  readonly fake: FakeKubernetes
  readonly watch: ResourceWatch
  readonly log: string[]
  readonly problems: unknown[]
  readonly stop: AbortController
}

async function open(
  t: ExecutionContext,
  options: {
    readonly content?: 'whole' | 'metadata'
    readonly list?: 'objects' | 'position'
    readonly path?: string
    readonly prepare?: (fake: FakeKubernetes) => void
  } = {},
): Promise<Watched> {
  const fake = await startFakeKubernetes(t)
  options.prepare?.(fake)
  const client = createKubernetesClient(fake.access, { clock: systemClock })
  const stop = new AbortController()
  t.teardown(() => {
    stop.abort()
    client.close()
  })
  const log: string[] = []
  const problems: unknown[] = []
  const watch = watchResource(
    {
      path: options.path ?? path,
      content: options.content ?? 'whole',
      list: options.list ?? 'objects',
      project: (object) =>
        `${metaOf(object).name}${objectOf(object)['status'] === undefined ? '' : '+'}`,
      replaced: (items) => log.push(`all ${[...items].sort().join(',')}`),
      changed: (event, item) => log.push(`${event} ${item}`),
      problem: (error) => problems.push(error),
    },
    { client, clock: systemClock, random: Math.random, signal: stop.signal },
  )
  return { fake, watch, log, problems, stop }
}

const pod = (name: string): { metadata: { name: string }; status: object } => ({
  metadata: { name },
  status: {},
})

test('lists first, page by page, and then tells each change once', async (t) => {
  const { fake, watch, log } = await open(t, {
    prepare: (api) => {
      for (let i = 0; i < 600; i += 1) api.put(path, pod(`p${i}`))
    },
  })
  t.is(watch.staleMs(), Infinity)
  await until('live', () => watch.staleMs() === 0, soon)
  t.is(log[0]?.split(',').length, 600)
  t.is(fake.asked('GET', path).filter((it) => !it.query.has('watch')).length, 3)
  fake.put(path, pod('new'))
  fake.put(path, pod('new'))
  fake.remove(path, 'p1')
  await until('the changes', () => log.length === 4, soon)
  t.deepEqual(log.slice(1), ['written new+', 'written new+', 'deleted p1+'])
})

test('of metadata alone nothing else arrives, and a watch from a position lists nothing', async (t) => {
  const { fake, watch, log } = await open(t, {
    content: 'metadata',
    list: 'position',
    prepare: (api) => api.put(path, pod('old')),
  })
  await until('live', () => watch.staleMs() === 0, soon)
  fake.put(path, pod('new'))
  await until('the change', () => log.length === 2, soon)
  t.deepEqual(log, ['all ', 'written new'])
})

test('a watch of all namespaces sees each', async (t) => {
  const { fake, watch, log } = await open(t, { path: '/api/v1/pods' })
  await until('live', () => watch.staleMs() === 0, soon)
  fake.put('/api/v1/namespaces/a/pods', pod('one'))
  fake.put('/api/v1/namespaces/b/pods', pod('two'))
  await until('the changes', () => log.length === 3, soon)
  t.deepEqual(log.slice(1), ['written one+', 'written two+'])
})

test('after an outage it resumes without losing a change, and its age tells how long it was away', async (t) => {
  const { fake, watch, log, problems } = await open(t)
  await until('live', () => watch.staleMs() === 0, soon)
  await fake.stop()
  await until('the loss to be seen', () => watch.staleMs() > 0, soon)
  fake.put(path, pod('meanwhile'))
  await until('a failed attempt', () => problems.length > 0, soon)
  await fake.start()
  await until('the change', () => log.includes('written meanwhile+'), soon)
  t.is(watch.staleMs(), 0)
  t.is(log.filter((it) => it.startsWith('all')).length, 1)
})

test('when its place is forgotten it lists again', async (t) => {
  const { fake, watch, log } = await open(t)
  await until('live', () => watch.staleMs() === 0, soon)
  await fake.stop()
  fake.put(path, pod('meanwhile'))
  fake.compact()
  await fake.start()
  await until('the list', () => log.length === 2, soon)
  t.deepEqual(log, ['all ', 'all meanwhile+'])
})

test('a server that says nothing for long, or breaks off with an error, is not resumed but listed again', async (t) => {
  const unavailable = new LatchkeyError('ERR_KUBERNETES_UNAVAILABLE', 'the connection broke')
  const error = Buffer.from(JSON.stringify({ type: 'ERROR', object: { code: 500 } }))
  const endings: readonly [string, (clock: ManualClock) => Promise<Buffer>, number][] = [
    ['a connection that breaks', () => Promise.reject(unavailable), 1],
    [
      'silence',
      async (clock) => {
        await clock.advance(150_000)
        throw unavailable
      },
      2,
    ],
    ['an error that is no 410', () => Promise.resolve(error), 2],
  ]
  for (const [title, end, lists] of endings) {
    const clock = new ManualClock()
    const stop = new AbortController()
    let watches = 0
    const lines = async function* (): AsyncGenerator<Buffer> {
      watches += 1
      if (watches === 1) yield await end(clock)
      else
        await new Promise((_, reject) => {
          stop.signal.addEventListener('abort', reject)
        })
    }
    let replaced = 0
    watchResource(
      {
        ...{ path, content: 'whole', list: 'position', project: () => undefined },
        replaced: () => (replaced += 1),
        changed: () => undefined,
        problem: () => undefined,
      },
      {
        client: {
          request: async () => ({ metadata: { resourceVersion: '7' } }),
          lines: async () => lines(),
          exchange: () => Promise.reject(unavailable),
          dial: () => Promise.reject(unavailable),
          close: () => undefined,
        },
        clock,
        random: () => 0.5,
        signal: stop.signal,
      },
    )
    while (watches < 2) await clock.advance(100)
    t.is(replaced, lists, title)
    stop.abort()
  }
})

test('a list that is refused is tried again, more and more seldom, and told as a problem', async (t) => {
  const { fake, watch, problems } = await open(t, {
    prepare: (api) => {
      api.fault = () => 403
    },
  })
  await until('problems', () => problems.length >= 3, soon)
  t.true(fake.seen.length < 8)
  t.is(watch.staleMs(), Infinity)
  fake.fault = () => undefined
  await until('live', () => watch.staleMs() === 0, soon)
})

test('a server that ends every watch at once is not asked in a tight loop', async (t) => {
  const { fake, watch, stop } = await open(t)
  await until('live', () => watch.staleMs() === 0, soon)
  const timer = setInterval(() => {
    fake.endWatches()
  }, 1)
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  clearInterval(timer)
  stop.abort()
  t.true(fake.asked('GET', path).length < 15)
})

test('when it is told to stop, it stops', async (t) => {
  const { fake, watch, stop, problems } = await open(t)
  await until('live', () => watch.staleMs() === 0, soon)
  stop.abort()
  await until('the connection to end', () => fake.watches.length === 0, soon)
  const asked = fake.seen.length
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.is(fake.seen.length, asked)
  t.deepEqual(problems, [])
  t.true(watch.staleMs() > 0)
})
