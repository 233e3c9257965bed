import test from 'ava'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { binary } from '../support/binaries.ts'
import { startEtcd } from '../support/etcd.ts'
import { etcdctl, saveSnapshot } from '../support/etcdctl.ts'
import { useGround } from '../support/ground.ts'
import { runOk } from '../support/run-program.ts'
import { currentOf, readAll, served } from '../support/snapshot-records.ts'

// What our own guide, and etcd's, tell to do after a loss: restored so that no client takes an old
// revision for a new one. What is left of that in the database is read like any other.

const ground = useGround(test)

test('an etcd restored with its revision bumped is read as before, then and later', async (t) => {
  const etcd = await startEtcd(ground)
  const [member] = etcd.members
  if (member === undefined) return t.fail()
  for (let index = 0; index < 50; index += 1) {
    await etcd.client.put(`/registry/secrets/default/s-${index}`, Buffer.alloc(1 + index, index))
  }
  await etcdctl(ground, etcd, ['del', '/registry/secrets/default/s-7'])
  const before = await saveSnapshot(ground, etcd, 'before.db')
  const known = await readAll(before)
  await member.stop()
  const directory = join(ground.dir, 'etcd', member.name)
  await rm(directory, { recursive: true })
  const peer = member.endpoint.replace(/2379$/, '2380')
  await runOk(ground, {
    command: await binary('etcdutl'),
    args: [
      ...['snapshot', 'restore', before, '--data-dir', directory],
      ...['--bump-revision', '1000000000', '--mark-compacted', '--name', member.name],
      ...['--initial-cluster', `${member.name}=${peer}`, '--initial-advertise-peer-urls', peer],
    ],
  })
  // Not started yet: a copy of the database.
  const restored = await readAll(join(directory, 'member', 'snap', 'db'))
  t.deepEqual(currentOf(restored.records), currentOf(known.records))
  t.is(restored.revision, known.revision + 1_000_000_000)
  t.is(restored.compactedRevision, restored.revision)

  await member.start()
  const started = await readAll(await saveSnapshot(ground, etcd, 'started.db'))
  t.is(started.revision, restored.revision)
  t.deepEqual(currentOf(started.records), await served(ground, etcd, started.revision))
  await etcd.client.put('/registry/secrets/default/s-8', Buffer.from('later'))
  await etcdctl(ground, etcd, ['compact', '--physical', String(started.revision + 1)])
  const later = await readAll(await saveSnapshot(ground, etcd, 'later.db'))
  t.is(later.revision, started.revision + 1)
  t.deepEqual(currentOf(later.records), await served(ground, etcd, later.revision))
  t.is(currentOf(later.records).length, 49)
})
