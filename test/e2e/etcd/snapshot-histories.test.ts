import test from 'ava'
import { join } from 'node:path'
import { systemClock } from '../../../src/base/clock.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import type { EtcdClient } from '../../../src/clients/etcd/client.ts'
import type { Operation } from '../../../src/clients/etcd/messages.ts'
import { openEtcd } from '../../../src/clients/etcd/open.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { etcdAccess } from '../support/etcd-access.ts'
import { startEtcd, type Etcd } from '../support/etcd.ts'
import { etcdctl, saveSnapshot } from '../support/etcdctl.ts'
import { useGround } from '../support/ground.ts'
import { currentOf, readAll, served, sha256 } from '../support/snapshot-records.ts'

// Etcds with odd pasts, read from snapshot and database and page by page, against what the real
// etcdctl says of them, key by key.

const ground = useGround(test)
const deps = { clock: systemClock, random: createRandomPool() }
let etcd: Etcd
let client: EtcdClient
const random = seededRandom(process.env['LATCHKEY_E2E_SEED'] ?? 'histories')
const below = (most: number): number => Buffer.from(random(4)).readUInt32LE() % most

test.before('an etcd', async () => {
  etcd = await startEtcd(ground)
  client = await openEtcd(etcdAccess(etcd), deps)
  ground.defer('client', () => {
    client.close()
  })
})

/** Around what fits into a page, into a few, and into none. */
function oddSize(): number {
  const kind = below(100)
  if (kind < 5) return 0
  if (kind < 70) return below(300)
  if (kind < 85) return 3_900 + below(300)
  if (kind < 97) return below(60_000)
  return 700_000 + below(500_000)
}

const pool = Array.from({ length: 3_000 }, (_, n) =>
  n % 7 === 0 ? `/odd/é-${n}` : `/registry/secrets/ns-${n % 50}/s-${n}`,
)
let compacted = 0
const anyKey = (): string => pool[below(pool.length)] ?? ''

async function someHistory(rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    const keys = new Set(Array.from({ length: 1 + below(40) }, anyKey))
    const success = [...keys].map((key): Operation =>
      below(4) === 0
        ? { delete: { key } }
        : { put: { key, value: Buffer.alloc(keys.size > 5 ? below(300) : oddSize(), round) } },
    )
    await client.transact({ compare: [], success })
    if (below(30) === 0) await client.delete('/registry/secrets/ns-1', { rangeEnd: '/s' })
    if (below(40) === 0) {
      const { revision } = await client.range('/none')
      const to = revision - below(20)
      if (to > compacted) await client.compact(to)
      compacted = Math.max(compacted, to)
    }
    if (below(60) === 0) {
      // It is given back or outlives the tests: none may run out while something is compared.
      const lease = await client.grantLease(3_600)
      await client.put(anyKey(), Buffer.from('leased'), { leaseId: lease.leaseId })
      if (below(2) === 0) await client.revokeLease(lease.leaseId)
    }
  }
}

/** What pages of our own client show, small ones and those that it takes by itself. */
async function livePages(pageBytes?: number): Promise<ReturnType<typeof currentOf>> {
  const records = []
  const end = Buffer.of(0)
  const size = pageBytes === undefined ? {} : { pageBytes }
  for await (const page of client.pages(end, { rangeEnd: end, ...size })) {
    for (const { key, modRevision, value } of page.entries) {
      records.push({ key, modRevision, sha256: sha256(value) })
    }
  }
  return records
}

for (const round of [1, 2, 3]) {
  test.serial(`deletions, compactions, leases and odd sizes, ${round}`, async (t) => {
    await someHistory(150)
    if (round === 2) await etcdctl(ground, etcd, ['defrag'])
    const path = await saveSnapshot(ground, etcd, `history-${round}.db`)
    const snapshot = await readAll(path)
    const current = await served(ground, etcd, snapshot.revision)
    t.deepEqual(currentOf(snapshot.records), current)
    for (const bytes of [undefined, 4_000, 40_000]) t.deepEqual(await livePages(bytes), current)
    const known = new Set(snapshot.records.map((it) => `${it.key} ${it.modRevision} ${it.sha256}`))
    for (const back of [1, 3, 10]) {
      const revision = snapshot.revision - back
      if (revision < snapshot.compactedRevision) continue
      for (const { key, modRevision, sha256: digest } of await served(ground, etcd, revision)) {
        if (!known.has(`${key} ${modRevision} ${digest}`)) t.fail(`${key} at ${revision}`)
      }
    }
    await etcd.members[0]?.stop()
    const copied = await readAll(join(ground.dir, 'etcd', 'etcd-1', 'member', 'snap', 'db'))
    await etcd.members[0]?.start()
    t.is(copied.checksum, 'missing')
    t.deepEqual(currentOf(copied.records), current)
  })
}

test.serial('more keys than 16 bits count, of which most go', async (t) => {
  const total = 70_000
  for (let from = 0; from < total; from += 100) {
    const success = Array.from({ length: 100 }, (_, n): Operation => {
      const key = `/registry/configmaps/many/cm-${from + n}`
      return { put: { key, value: Buffer.from(`{"n":${from + n}}`) } }
    })
    await client.transact({ compare: [], success })
  }
  const full = await readAll(await saveSnapshot(ground, etcd, 'many.db'))
  t.deepEqual(currentOf(full.records), await served(ground, etcd, full.revision))
  await client.delete('/registry/configmaps/many/cm-2', {
    rangeEnd: '/registry/configmaps/many/cm-7',
  })
  const { revision } = await client.range('/none')
  await client.compact(revision)
  const few = await readAll(await saveSnapshot(ground, etcd, 'fewer.db'))
  const current = await served(ground, etcd, few.revision)
  t.true(current.length > 10_000 && current.length < 50_000)
  t.deepEqual(currentOf(few.records), current)
  t.is(few.records.length, current.length)
  t.deepEqual(await livePages(), current)
})

test.serial('a database of an etcd that was killed amid a compaction', async (t) => {
  for (let round = 0; round < 4; round += 1) {
    for (let from = 0; from < 20_000; from += 100) {
      const success = Array.from({ length: 100 }, (_, n): Operation => {
        const key = `/registry/configmaps/often/cm-${(from + n) % 500}`
        return below(9) === 0
          ? { delete: { key } }
          : { put: { key, value: Buffer.from(`${round}`) } }
      })
      await client.transact({ compare: [], success })
    }
    const { revision } = await client.range('/none')
    const current = await served(ground, etcd, revision)
    // Before etcd hands out a snapshot it commits what was written to the database.
    await saveSnapshot(ground, etcd, `committed-${round}.db`)
    await etcdctl(ground, etcd, ['compact', String(revision)])
    await new Promise((resolve) => setTimeout(resolve, 100 + 70 * round))
    await etcd.members[0]?.stop('at once')
    const copied = await readAll(join(ground.dir, 'etcd', 'etcd-1', 'member', 'snap', 'db'))
    t.deepEqual(currentOf(copied.records), current)
    t.log(`${copied.records.length - current.length} superseded records were left`)
    await etcd.members[0]?.start()
    t.deepEqual(await livePages(), current)
  }
})
