import test from 'ava'
import { copyFile, open, readFile, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { startEtcd, type Etcd } from '../support/etcd.ts'
import { etcdctl, saveSnapshot } from '../support/etcdctl.ts'
import { useGround } from '../support/ground.ts'
import { byKey, readAll, served as servedBy, type Seen } from '../support/snapshot-records.ts'

// What the reader says of a snapshot file, against what the real etcd says of itself.

const ground = useGround(test)
let etcd: Etcd

const served = (revision: number): ReturnType<typeof servedBy> => servedBy(ground, etcd, revision)

/** What the snapshot must hold, asked of etcd revision by revision. */
async function expected(from: number, to: number): Promise<readonly Seen[]> {
  const current = await served(to)
  const seen = new Map<string, Seen>()
  for (let revision = from; revision <= to; revision += 1) {
    for (const record of await served(revision)) {
      const id = `${record.modRevision} ${record.key}`
      const isCurrent = current.some(
        ({ key, modRevision }) => key === record.key && modRevision === record.modRevision,
      )
      seen.set(id, { ...record, state: isCurrent ? 'current' : 'superseded' })
    }
  }
  return [...seen.values()].sort(newestFirst)
}

const newestFirst = (a: Seen, b: Seen): number =>
  b.modRevision - a.modRevision || (a.key < b.key ? 1 : -1)

test.before(async () => {
  etcd = await startEtcd(ground)
  const { client } = etcd
  for (let round = 0; round < 3; round += 1) {
    for (let index = 0; index < 40; index += 1) {
      await client.put(
        `/registry/secrets/default/s-${index}`,
        Buffer.alloc(100 + index * 30, round),
      )
    }
    await client.put('/registry/secrets/default/large', Buffer.alloc(1_000_000 + round, round))
    await client.put('/registry/secrets/default/empty', Buffer.alloc(0))
  }
  await etcdctl(ground, etcd, ['del', '/registry/secrets/default/s-7'])
  await etcdctl(ground, etcd, ['del', '--prefix', '/registry/secrets/default/s-1'])
  await client.put('/registry/secrets/default/s-11', Buffer.from('born again'))
  // Several keys at one revision.
  await etcdctl(ground, etcd, ['txn'], {
    stdin: '\nput /registry/a one\nput /registry/b two\ndel /registry/secrets/default/s-20\n\n\n',
  })
})

test.serial('every revision is there, and the current one of each key is told', async (t) => {
  const path = await saveSnapshot(ground, etcd, 'whole.db')
  const snapshot = await readAll(path)
  t.is(snapshot.checksum, 'verified')
  t.is(snapshot.compactedRevision, 0)
  t.deepEqual(snapshot.records.toSorted(newestFirst), await expected(1, snapshot.revision))
  t.true(snapshot.records.some(({ state }) => state === 'superseded'))
})

test.serial('after a compaction only what etcd still serves is there', async (t) => {
  const before = await readAll(join(ground.dir, 'whole.db'))
  const compacted = before.revision - 20
  await etcdctl(ground, etcd, ['compact', '--physical', `${compacted}`])
  await etcd.client.put('/registry/a', Buffer.from('after compaction'))
  const path = await saveSnapshot(ground, etcd, 'compacted.db')
  const snapshot = await readAll(path)
  t.is(snapshot.compactedRevision, compacted)
  t.is(snapshot.revision, before.revision + 1)
  t.true(snapshot.records.length < before.records.length)
  t.deepEqual(snapshot.records.toSorted(newestFirst), await expected(compacted, snapshot.revision))
})

test.serial('etcdutl and the reader agree on the revision after a defragmentation', async (t) => {
  await etcdctl(ground, etcd, ['defrag'])
  const path = await saveSnapshot(ground, etcd, 'small.db')
  const snapshot = await readAll(path)
  t.deepEqual(
    snapshot.records.filter(({ state }) => state === 'current').toSorted(byKey),
    (await served(snapshot.revision)).map((it) => ({ ...it, state: 'current' as const })),
  )
  const whole = await stat(join(ground.dir, 'compacted.db'))
  t.true((await stat(path)).size < whole.size)
})

test.serial('a changed byte is found by the checksum, wherever it is', async (t) => {
  const path = join(ground.dir, 'changed.db')
  const { size } = await stat(join(ground.dir, 'small.db'))
  for (const at of [0, 5000, Math.floor(size / 2), size - 33, size - 1]) {
    await copyFile(join(ground.dir, 'small.db'), path)
    await using file = await open(path, 'r+')
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at)
    await file.write(Buffer.of((buffer[0] ?? 0) ^ 1), 0, 1, at)
    await t.throwsAsync(readAll(path), { code: 'ERR_SNAPSHOT_CHECKSUM' }, `byte ${at}`)
  }
})

test.serial('a copied database has no checksum and is read; cut short it is refused', async (t) => {
  await etcd.members[0]?.stop()
  const database = join(ground.dir, 'etcd', 'etcd-1', 'member', 'snap', 'db')
  const copied = await readAll(database)
  t.is(copied.checksum, 'missing')
  const path = join(ground.dir, 'cut.db')
  await copyFile(database, path)
  const pages = (await readFile(path)).length / 4096
  await truncate(path, Math.floor(pages / 3) * 4096)
  await t.throwsAsync(readAll(path), { code: 'ERR_SNAPSHOT_INVALID' })
})
