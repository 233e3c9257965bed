import test from 'ava'
import { migrate, type MigrateOptions } from '../../../../src/admin/etcd/migrate/migrate.ts'
import { objectId, type MigrateReport } from '../../../../src/admin/etcd/migrate/report.ts'
import type { StaleObjects } from '../../../../src/admin/etcd/migrate/stale.ts'
import type { Clock } from '../../../../src/base/clock.ts'
import type { KubernetesClient } from '../../../../src/clients/kubernetes.ts'
import { fakeCollection, staleSecrets, type FakeStored } from '../../../support/fake-collection.ts'

/** A clock whose sleeps pass at once, and are counted. */
function hastyClock(): Clock & { readonly slept: number[] } {
  const slept: number[] = []
  let nowMs = 0
  return {
    slept,
    now: () => nowMs,
    monotonicMs: () => (nowMs += 0.01),
    sleep: async (ms, signal) => {
      await Promise.resolve()
      signal.throwIfAborted()
      slept.push(ms)
      nowMs += ms
    },
  }
}

async function run(
  client: KubernetesClient,
  options: Partial<MigrateOptions> = {},
): Promise<MigrateReport> {
  return await migrate({
    client,
    resources: ['secrets'],
    workers: 16,
    rate: undefined,
    dryRun: false,
    progress: () => undefined,
    clock: hastyClock(),
    random: () => 0.5,
    signal: new AbortController().signal,
    ...options,
  })
}

/** What etcd would show of `objects`. */
const staleOf = (objects: readonly FakeStored[], more: readonly FakeStored[] = []): StaleObjects =>
  async function* () {
    for (const object of [...objects, ...more]) if (object.stale) yield object
  }

test('every object is asked for once: stale ones are rewritten, fresh ones are left alone', async (t) => {
  const objects = staleSecrets(1203)
  for (const object of objects.slice(0, 203)) object.stale = false
  const client = fakeCollection(objects)
  const report = await run(client)
  t.deepEqual(report.resources, [
    { resource: 'secrets', listed: 1203, rewritten: 1000, unchanged: 203, gone: 0, refused: 0 },
  ])
  t.false(report.proved)
  t.deepEqual(report.refused, [])
  t.is(new Set(client.asked.filter((it) => it.startsWith('PATCH'))).size, 1203)
  t.is(client.asked.filter((it) => it.startsWith('PATCH')).length, 1203)
  t.is(client.asked.filter((it) => it === 'GET /api/v1/secrets').length, 3)
})

test('with a look into etcd exactly what is stale is asked for, and it is proved', async (t) => {
  for (const [stale, lists] of [
    [100, 0],
    [700, 2],
  ] as const) {
    const objects = staleSecrets(1000)
    for (const object of objects.slice(stale)) object.stale = false
    const client = fakeCollection(objects)
    const report = await run(client, { stale: staleOf(objects) })
    t.like(report, { proved: true, refused: [] })
    t.like(report.resources[0], { listed: stale, rewritten: stale, unchanged: 0 })
    t.is(client.asked.filter((it) => it.startsWith('PATCH')).length, stale)
    t.is(client.asked.filter((it) => it === 'GET /api/v1/secrets').length, lists)
  }
})

test('a deleted object stays deleted; one that was made again is asked for by its new uid', async (t) => {
  const objects = staleSecrets(3)
  let changed = false
  const client = fakeCollection(objects, (method) => {
    if (method === 'PATCH' && !changed) {
      changed = true
      objects.splice(1, 1)
      const [first] = objects
      if (first !== undefined) first.uid = 'another'
    }
    return undefined
  })
  const report = await run(client, { workers: 1 })
  t.like(report.resources[0], { listed: 3, rewritten: 2, unchanged: 0, gone: 1 })
  t.is(objects.length, 2)
  t.true(objects.every(({ stale }) => !stale))
})

test('each refusal is listed by cause, with the names in its way and no values', async (t) => {
  const invalid = { details: { causes: [{ field: 'spec.size', message: 'got "hunter2"' }] } }
  const webhook = { message: 'admission webhook "deny.example.com" denied the request: hunter2' }
  const policy = {
    message: `secrets "s-2" is forbidden: ValidatingAdmissionPolicy 'frozen' with binding 'all' denied request: hunter2`,
    details: { causes: [{ message: 'hunter2' }] },
  }
  const unreachable = { message: 'failed calling webhook "down.example.com": dial hunter2' }
  const answers: Readonly<Record<string, { status: number; body: unknown }>> = {
    's-0': { status: 422, body: invalid },
    's-1': { status: 403, body: webhook },
    's-2': { status: 422, body: policy },
    's-3': { status: 500, body: unreachable },
    's-4': { status: 500, body: { message: 'failed to decrypt DEK hunter2' } },
    's-5': { status: 409, body: {} },
    's-6': { status: 415, body: {} },
  }
  const objects = staleSecrets(9)
  objects.push({
    ...objects[1],
    name: 'leaving',
    uid: 'leaving',
    metadata: { deletionTimestamp: '2026-01-02T03:04:05Z', finalizers: ['example.com/wait'] },
  } as FakeStored)
  const client = fakeCollection(objects, (method, path) => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    if (method !== 'PATCH') return undefined
    return name === 'leaving' ? answers['s-1'] : answers[name]
  })
  const report = await run(client)
  t.deepEqual(
    report.refused
      .map((object) => [objectId(object), object.cause, object.detail])
      .sort(([a = ''], [b = '']) => (a < b ? -1 : 1)),
    [
      [
        'secrets/shop/leaving',
        'terminating',
        'finalizers example.com/wait; admission: webhook deny.example.com',
      ],
      ['secrets/shop/s-0', 'invalid', 'spec.size'],
      ['secrets/shop/s-1', 'admission', 'webhook deny.example.com'],
      ['secrets/shop/s-2', 'admission', 'policy frozen, binding all'],
      ['secrets/shop/s-3', 'admission', 'webhook down.example.com cannot be asked'],
      ['secrets/shop/s-4', 'server-error', 'status 500'],
      ['secrets/shop/s-5', 'conflict', '6 tries'],
      ['secrets/shop/s-6', 'no-api', 'the API has no merge patch'],
    ],
  )
  t.like(report.resources[0], { listed: 10, rewritten: 2, refused: 8 })
  t.false(JSON.stringify(report).includes('hunter2'))
})

test('what etcd shows and no API serves is listed; what stays stale in spite of a 200 is too', async (t) => {
  const objects = staleSecrets(2)
  const [, stubborn, ghost] = [
    ...objects,
    ...staleSecrets(1).map((it) => ({ ...it, name: 'ghost' })),
  ]
  if (stubborn === undefined || ghost === undefined) throw new Error('unreachable')
  const patches: string[] = []
  const client = fakeCollection(objects, (method, path) => {
    if (method === 'PATCH') patches.push(path)
    return undefined
  })
  const stale: StaleObjects = async function* (resource, signal) {
    // Another API server writes it under the former key each time.
    stubborn.stale = true
    yield* staleOf(objects, [ghost])(resource, signal)
  }
  const report = await run(client, { stale })
  t.deepEqual(
    report.refused.map((object) => [objectId(object), object.cause]),
    [
      ['secrets/shop/ghost', 'no-api'],
      ['secrets/shop/s-1', 'not-rewritten'],
    ],
  )
  t.true(report.proved)
  t.is(patches.filter((it) => it.endsWith('s-1')).length, 2)
})

test('a resource that no API serves is an error, or, where etcd is read, refused objects', async (t) => {
  const client = fakeCollection([], (_method, path) =>
    path === '/apis/gone.example.com' ? { status: 404 } : undefined,
  )
  const resources = ['widgets.gone.example.com']
  await t.throwsAsync(run(client, { resources }), { code: 'ERR_KUBERNETES_NOT_FOUND' })
  const report = await run(client, { resources, stale: staleOf(staleSecrets(2)) })
  t.deepEqual(
    report.refused.map((object) => [objectId(object), object.cause]),
    [
      ['widgets.gone.example.com/shop/s-0', 'no-api'],
      ['widgets.gone.example.com/shop/s-1', 'no-api'],
    ],
  )
})

test('one object that fails every list does not stop the others', async (t) => {
  const objects = staleSecrets(400)
  const client = fakeCollection(objects, (_method, path) =>
    path === '/api/v1/secrets' || path.endsWith('/s-7') ? { status: 500 } : undefined,
  )
  const report = await run(client, { stale: staleOf(objects) })
  t.deepEqual(
    report.refused.map((object) => [objectId(object), object.cause]),
    [['secrets/shop/s-7', 'server-error']],
  )
  t.is(objects.filter(({ stale }) => stale).length, 1)
})

test('429 is waited out as long as the server asks; nothing is lost', async (t) => {
  const objects = staleSecrets(60)
  const clock = hastyClock()
  let refusals = 0
  const client = fakeCollection(objects, (method) => {
    if (method !== 'PATCH' || refusals >= 100 || (refusals += 1) % 2 === 0) return undefined
    return { status: 429, retryAfterMs: 3_000 }
  })
  const report = await run(client, { clock })
  t.like(report.resources[0], { listed: 60, rewritten: 60, refused: 0 })
  t.true(clock.slept.length >= 50)
  t.true(clock.slept.every((ms) => ms >= 3_000))
})

test('an expired place in the list is gone on from; a list that fails for good ends it all', async (t) => {
  const objects = staleSecrets(1200)
  let expired = 0
  const client = fakeCollection(objects, (_method, path, query) => {
    if (path !== '/api/v1/secrets' || query['continue'] !== '500' || expired > 0) return undefined
    expired += 1
    return { status: 410, body: { reason: 'Expired', metadata: { continue: '0500' } } }
  })
  t.like((await run(client)).resources[0], { rewritten: 1200 })
  t.is(expired, 1)

  const broken = fakeCollection(staleSecrets(1200), (_method, _path, query) =>
    query['continue'] === '500' ? { status: 500 } : undefined,
  )
  await t.throwsAsync(run(broken), { code: 'ERR_KUBERNETES_UNAVAILABLE' })
})

test('without a look into etcd, a list that fails says what to name, and an outage does not', async (t) => {
  for (const [status, hint] of [
    [500, /--etcd.*latchkey etcd scan/],
    [503, /^$/],
    [429, /^$/],
  ] as const) {
    const client = fakeCollection(staleSecrets(3), (_method, path) =>
      path === '/api/v1/secrets' ? { status } : undefined,
    )
    const error = await t.throwsAsync(run(client), { code: 'ERR_KUBERNETES_UNAVAILABLE' })
    t.regex((error as { hint?: string }).hint ?? '', hint, String(status))
    t.is(error.message.includes('cannot list secrets'), status === 500)
    t.false(client.asked.some((it) => it.startsWith('PATCH')))
  }
})

test('without the right to patch nothing is begun', async (t) => {
  const client = fakeCollection(staleSecrets(5), (method) =>
    method === 'POST' ? { status: 403 } : undefined,
  )
  const error = await t.throwsAsync(run(client), { code: 'ERR_KUBERNETES_FORBIDDEN' })
  t.regex((error as { hint?: string }).hint ?? '', /kubectl create clusterrole/)
  t.false(client.asked.some((it) => it.startsWith('PATCH')))
})

test('a dry run stores nothing', async (t) => {
  const objects = staleSecrets(20)
  const client = fakeCollection(objects)
  const report = await run(client, { dryRun: true, stale: staleOf(objects) })
  t.true(objects.every(({ stale }) => stale))
  t.like(report, { proved: false, refused: [] })
  t.is(client.asked.filter((it) => it.startsWith('PATCH')).length, 20)
})

test('aborted, it ends with the reason', async (t) => {
  const stop = new AbortController()
  const client = fakeCollection(staleSecrets(50), (method) => {
    if (method === 'PATCH') stop.abort(new RangeError('enough'))
    return undefined
  })
  await t.throwsAsync(run(client, { signal: stop.signal }), { instanceOf: RangeError })
})
