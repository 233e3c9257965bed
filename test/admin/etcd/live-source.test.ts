import test from 'ava'
import { liveSource } from '../../../src/admin/etcd/live-source.ts'
import type { EtcdClient } from '../../../src/clients/etcd/client.ts'
import type { EtcdPage } from '../../../src/clients/etcd/paging.ts'

interface Asked {
  readonly from: string
  readonly end: string
  readonly revision: number | undefined
}

/** A client that answers each range with two pages, at revision 41 unless another one is asked for. */
function fakeClient(asked: Asked[]): Pick<EtcdClient, 'location' | 'pages'> {
  return {
    location: 'a test',
    async *pages(key, query = {}): AsyncGenerator<EtcdPage> {
      const text = (part: typeof key | undefined): string => Buffer.from(part ?? '').toString()
      asked.push({ from: text(key), end: text(query.rangeEnd), revision: query.revision })
      const revision = query.revision === 0 ? 41 + asked.length - 1 : (query.revision ?? 0)
      for (const name of ['a', 'b']) {
        const entry = { key: `${text(key)}ns/${name}`, value: Buffer.from('{'), modRevision: 7 }
        const entries = [{ ...entry, createRevision: 7, version: 1, leased: false }]
        yield { entries, revision, total: 2 }
      }
    },
  }
}

async function read(source: ReturnType<typeof liveSource>): Promise<readonly string[]> {
  const keys: string[] = []
  for await (const batch of source.batches(new AbortController().signal)) {
    for (const { key, state } of batch) keys.push(`${key} ${state}`)
  }
  return keys
}

test('everything is read in one range', async (t) => {
  const asked: Asked[] = []
  const source = liveSource(fakeClient(asked))
  t.is((await read(source)).length, 2)
  t.deepEqual(asked, [{ from: '\0', end: '\0', revision: 0 }])
  t.deepEqual(source.facts, { location: 'a test', revision: 41, hasHistory: false })
})

test('several resources are read at one revision, each in its own range', async (t) => {
  const asked: Asked[] = []
  const resources = new Set(['secrets', 'widgets.example.com'])
  const source = liveSource(fakeClient(asked), { resources, prefix: '/k' })
  t.deepEqual(await read(source), [
    '/k/secrets/ns/a current',
    '/k/secrets/ns/b current',
    '/k/example.com/widgets/ns/a current',
    '/k/example.com/widgets/ns/b current',
  ])
  t.deepEqual(asked, [
    { from: '/k/secrets/', end: '/k/secrets0', revision: 0 },
    { from: '/k/example.com/widgets/', end: '/k/example.com/widgets0', revision: 41 },
  ])
  // Read again, it looks at the newest revision again.
  await read(source)
  t.is(asked[2]?.revision, 0)
  t.is(source.facts.revision, 43)
})
