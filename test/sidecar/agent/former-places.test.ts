import test from 'ava'
import * as fs from 'node:fs'
import { systemFileOperations } from '../../../src/sidecar/publish/file-operations.ts'
import { PublishedPlaces } from '../../../src/sidecar/published-places.ts'
import { StateDirectory } from '../../../src/sidecar/state-directory.ts'
import { readyItem } from '../../support/fake-broker.ts'
import { failing } from '../../support/publishing.ts'
import { createPod, startBroker, startSidecar, until, type Pod } from '../../support/sidecar.ts'

const stays = '- { secret: a, key: k, path: /srv/a/k }\n'
const goes = '- { secret: b, key: k, path: /srv/b/k }\n'

const placesOf = (pod: Pod): PublishedPlaces =>
  new PublishedPlaces(
    new StateDirectory({ root: pod.root, path: '/run/latchkey' }, systemFileOperations),
  )

/** Publishes both and ends. */
async function published(t: Parameters<typeof createPod>[0]): Promise<Pod> {
  const [broker, pod] = [await startBroker(t), createPod(t)]
  const running = startSidecar(t, { pod, plan: stays + goes, broker })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('a', { k: 'of a' }), readyItem('b', { k: 'of b' })])
  await until(() => running.agent.ready, 'ready')
  await running.stop()
  await broker.stop()
  fs.writeFileSync(pod.path('srv/b/theirs'), 'kept')
  t.deepEqual(
    placesOf(pod).all.map(({ path }) => path),
    ['/srv/a', '/srv/b'],
  )
  return pod
}

const broker = { address: { host: '127.0.0.1', port: 1 } }

test('what a plan no longer names is taken away at the next start, without a broker', async (t) => {
  const pod = await published(t)
  const { lines } = startSidecar(t, { pod, plan: stays, broker })
  t.is(pod.read('srv/b/k'), undefined)
  t.deepEqual(fs.readdirSync(pod.path('srv/b')), ['theirs'])
  t.is(pod.read('srv/a/k'), 'of a')
  t.deepEqual(
    lines.filter(({ event }) => event === 'files.withdrawn').map(({ fields }) => fields),
    [{ path: '/srv/b' }],
  )
  t.deepEqual(
    placesOf(pod).all.map(({ path }) => path),
    ['/srv/a'],
  )
})

test('without the state for itself, or below another root, a sidecar takes nothing away', async (t) => {
  const pod = await published(t)
  for (const other of [{ exclusive: false }, { root: `${pod.root}/.` }]) {
    await startSidecar(t, { pod, plan: stays, broker, ...other }).stop()
    t.is(pod.read('srv/b/k'), 'of b')
    t.is(placesOf(pod).all.length, 2)
  }
})

test('what could not be taken away is at the start after', async (t) => {
  const pod = await published(t)
  const state = new StateDirectory({ root: pod.root, path: '/run/latchkey' }, systemFileOperations)
  const operations = failing('unlink', 'EIO')
  const failed = startSidecar(t, { pod, plan: stays, broker, operations, state })
  await failed.stop()
  t.true(
    failed.lines.some(
      ({ event, fields }) => event === 'files.failed' && fields['path'] === '/srv/b',
    ),
  )
  startSidecar(t, { pod, plan: stays, broker })
  t.deepEqual(fs.readdirSync(pod.path('srv/b')), ['theirs'])
})

test('what an earlier release published is noted when it is taken over', async (t) => {
  const pod = await published(t)
  fs.unlinkSync(pod.path('run/latchkey/published.json'))
  await startSidecar(t, { pod, plan: stays + goes, broker }).stop()
  startSidecar(t, { pod, plan: stays, broker })
  t.is(pod.read('srv/b/k'), undefined)
})

test('notes that are broken, or lead elsewhere, count as none', async (t) => {
  const pod = await published(t)
  const good = pod.read('run/latchkey/published.json') ?? ''
  for (const bad of [
    '',
    '[',
    'null',
    good.replace('"format":1', '"format":2'),
    good.replace('/srv/b', '/srv/../b'),
    good.replace('"/srv/b"', '"srv/b"'),
    good.replace('"plans"', '"plan"'),
  ]) {
    t.not(bad, good)
    fs.writeFileSync(pod.path('run/latchkey/published.json'), bad)
    t.deepEqual(placesOf(pod).all, [], bad)
  }
})

test('of a directory so many plans are remembered, the newest', async (t) => {
  const pod = createPod(t)
  const places = placesOf(pod)
  for (let plan = 0; plan < 20; plan += 1) places.note('/', '/srv/a', `plan-${plan}`)
  const [place] = placesOf(pod).all
  t.is(place?.plans.length, 16)
  t.is(place?.plans.at(-1), 'plan-19')
})
