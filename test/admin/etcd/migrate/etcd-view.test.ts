import test from 'ava'
import { staleInEtcd, type EtcdView } from '../../../../src/admin/etcd/migrate/etcd-view.ts'
import type { Clock } from '../../../../src/base/clock.ts'
import { fakeCollection, staleSecrets, type Intercept } from '../../../support/fake-collection.ts'
import { fakeProvingEtcd, type FakeProvingEtcd } from '../../../support/proving-etcd.ts'

const former = 'lk1.1.AAAAAAAAAAAAAAAAAAAAAA'
const now = 'lk1.2.BBBBBBBBBBBBBBBBBBBBBA'
const clock: Clock = {
  now: () => 0,
  monotonicMs: () => 0,
  sleep: async () => {
    await Promise.resolve()
  },
}

/** An etcd with three Secrets under the former key, and an API server that writes under the new one. */
function cluster(intercept: Intercept): {
  readonly etcd: FakeProvingEtcd
  readonly stale: () => Promise<readonly string[]>
} {
  const objects = staleSecrets(3)
  const etcd = fakeProvingEtcd()
  for (const { name } of objects) etcd.store(name, former)
  const client = fakeCollection(objects, (method, path, query) => {
    const answer = intercept(method, path, query)
    if (method === 'PATCH' && answer === undefined) etcd.store(path.split('/').at(-1) ?? '', now)
    return answer
  })
  const [fake] = etcd.etcd
  if (fake === undefined) throw new Error('unreachable')
  const view: EtcdView = {
    etcds: [
      {
        location: fake.location,
        pages: (key, query) => fake.pages(key, query),
        range: async (key) => {
          for await (const { entries, revision } of fake.pages(key)) {
            const found = entries.filter((entry) => entry.key === key)
            return { entries: found, revision, more: false, count: found.length }
          }
          throw new Error('unreachable')
        },
      },
    ],
    prefix: '/registry',
    keyIds: new Set(),
    config: undefined,
  }
  const { signal } = new AbortController()
  const look = staleInEtcd(view, { client, clock, random: () => 0.5, signal })
  return {
    etcd,
    stale: async () => {
      const names: string[] = []
      for await (const { name } of look('secrets', signal)) names.push(name)
      return names.sort()
    },
  }
}

test('the key under which the API server writes is found by having one object rewritten', async (t) => {
  const { stale } = cluster(() => undefined)
  t.deepEqual(await stale(), ['s-1', 's-2'])
})

test('where it cannot list, as one object does not decrypt, the objects come from etcd', async (t) => {
  const { etcd, stale } = cluster((_method, path) =>
    path === '/api/v1/secrets' || path.endsWith('/s-0') ? { status: 500 } : undefined,
  )
  t.deepEqual(await stale(), ['s-0', 's-2'])
  // What is known of the key by now is not asked for again.
  etcd.store('s-2', now)
  t.deepEqual(await stale(), ['s-0'])
})

test('a list that may not be asked for is an error', async (t) => {
  const { stale } = cluster((_method, path) =>
    path === '/api/v1/secrets' ? { status: 403 } : undefined,
  )
  await t.throwsAsync(stale(), { code: 'ERR_KUBERNETES_FORBIDDEN' })
})
