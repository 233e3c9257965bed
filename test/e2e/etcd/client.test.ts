import test from 'ava'
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../../src/base/clock.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import type { EtcdClient } from '../../../src/clients/etcd/client.ts'
import { prefixEnd, type EtcdEvent } from '../../../src/clients/etcd/messages.ts'
import { openEtcd } from '../../../src/clients/etcd/open.ts'
import { systemDisk } from '../../../src/clients/disk.ts'
import { etcdAccess } from '../support/etcd-access.ts'
import { startEtcd, type Etcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const deps = { clock: systemClock, random: createRandomPool() }
let etcd: Etcd
let client: EtcdClient

test.before('an etcd of three members', async () => {
  etcd = await startEtcd(ground, { members: 3 })
  client = await openEtcd(etcdAccess(etcd), deps)
  ground.defer('client', () => {
    client.close()
  })
})

test.serial('what is written is read, by range, prefix and revision', async (t) => {
  const first = await client.put('/a/1', Buffer.of(0, 255))
  await client.put('/a/2', Buffer.alloc(0))
  await client.put('/b', Buffer.from('b'))
  const all = await client.range('/a/', { rangeEnd: prefixEnd('/a/') })
  t.deepEqual(
    all.entries.map(({ key, value, version, leased }) => [key, [...value], version, leased]),
    [
      ['/a/1', [0, 255], 1, false],
      ['/a/2', [], 1, false],
    ],
  )
  t.is(all.entries[0]?.createRevision, first)
  t.is(all.entries[0]?.modRevision, first)
  t.true(all.revision >= first)
  await client.put('/a/1', Buffer.from('new'))
  t.deepEqual(
    (await client.range('/a/1', { revision: first })).entries[0]?.value,
    Buffer.of(0, 255),
  )
  t.is((await client.range('/a/1')).entries[0]?.version, 2)
  const limited = await client.range('/a/', { rangeEnd: prefixEnd('/a/'), limit: 1 })
  t.like(limited, { more: true, count: 2 })
  const keys = await client.range('/a/', { rangeEnd: prefixEnd('/a/'), keysOnly: true })
  t.deepEqual(
    keys.entries.map(({ value }) => value.byteLength),
    [0, 0],
  )
  const counted = await client.range('/a/', { rangeEnd: prefixEnd('/a/'), countOnly: true })
  t.like(counted, { count: 2, entries: [] })
  t.like(await client.range('/a/1', { serializable: true }), { count: 1 })
  t.is((await client.range('/none')).count, 0)
  t.is(await client.delete('/a/', { rangeEnd: prefixEnd('/a/') }), 2)
  t.is(await client.delete('/a/1'), 0)
})

test.serial('a transaction compares and acts at once', async (t) => {
  const create = {
    compare: [{ key: '/t', target: 'create', is: '=', value: 0 }],
    success: [{ put: { key: '/t', value: Buffer.from('one') } }],
    failure: [{ range: { key: '/t' } }],
  } as const
  const [made, again] = [await client.transact(create), await client.transact(create)]
  t.true(made.succeeded)
  t.false(again.succeeded)
  const [answer] = again.answers
  if (answer === undefined || !('range' in answer)) return t.fail()
  const [entry] = answer.range.entries
  t.is(entry?.value.toString(), 'one')
  t.is(entry?.modRevision, made.revision)
  for (const [comparison, expected] of [
    [{ target: 'mod', is: '=', value: made.revision }, true],
    [{ target: 'mod', is: '<', value: made.revision }, false],
    [{ target: 'version', is: '>', value: 0 }, true],
    [{ target: 'value', is: '=', value: Buffer.from('one') }, true],
    [{ target: 'value', is: '!=', value: Buffer.from('one') }, false],
    [{ target: 'value', is: '=', value: Buffer.alloc(0) }, false],
  ] as const) {
    const { succeeded } = await client.transact({ compare: [{ key: '/t', ...comparison }] })
    t.is(succeeded, expected, JSON.stringify(comparison))
  }
  await client.put('/t/2', Buffer.from('two'))
  const range = { key: '/t', rangeEnd: prefixEnd('/t'), target: 'mod', is: '<' } as const
  t.false((await client.transact({ compare: [{ ...range, value: made.revision + 1 }] })).succeeded)
  const now = (await client.range('/t')).revision
  t.true((await client.transact({ compare: [{ ...range, value: now + 1 }] })).succeeded)
  const removed = await client.transact({
    compare: [],
    success: [{ delete: { key: '/t', rangeEnd: prefixEnd('/t') } }, { range: { key: '/t' } }],
  })
  t.like(removed.answers, [{ deleted: 2 }, { range: { count: 0 } }])
})

test.serial('pages show one revision, however much is written meanwhile', async (t) => {
  const value = Buffer.alloc(20_000, 'x')
  const names = Array.from({ length: 400 }, (_, n) => `/pages/${String(n).padStart(4, '0')}`)
  for (const name of names) await client.put(name, value)
  const seen: string[] = []
  const sizes: number[] = []
  for await (const page of client.pages('/pages/', {
    rangeEnd: prefixEnd('/pages/'),
    pageBytes: 1 << 20,
  })) {
    t.is(page.total, names.length)
    seen.push(...page.entries.map(({ key }) => key))
    sizes.push(page.entries.reduce((sum, entry) => sum + entry.value.byteLength, 0))
    await client.put('/pages/0399b', value)
    await client.delete('/pages/0398')
  }
  t.deepEqual(seen, names)
  t.true(sizes.length > 4)
  t.true(Math.max(...sizes) <= 1 << 20)
})

test.serial(
  'a page that is larger than one answer may be is asked for again, smaller',
  async (t) => {
    const value = Buffer.alloc(1_400_000, 'y')
    for (let n = 0; n < 30; n += 1) await client.put(`/large/${n}`, value)
    let entries = 0
    for await (const page of client.pages('/large/', { rangeEnd: prefixEnd('/large/') })) {
      entries += page.entries.length
    }
    t.is(entries, 30)
    await t.throwsAsync(client.range('/large/', { rangeEnd: prefixEnd('/large/') }), {
      code: 'ERR_ETCD_TOO_LARGE',
    })
    await client.delete('/large/', { rangeEnd: prefixEnd('/large/') })
  },
)

test.serial('a watch tells every write, also over a member that dies', async (t) => {
  const stop = new AbortController()
  const seen: string[] = []
  const live: number[] = []
  const lost: unknown[] = []
  const watching = client.watch('/watch/', {
    rangeEnd: prefixEnd('/watch/'),
    signal: stop.signal,
    onEvents: (events: readonly EtcdEvent[]) => {
      seen.push(
        ...events.map(({ type, entry }) => `${type} ${entry.key} ${entry.value.toString()}`),
      )
    },
    onLive: (revision) => live.push(revision),
    onLost: (error) => lost.push(error),
  })
  await until('the watch', () => live.length > 0, { timeoutMs: 10_000 })
  await client.put('/watch/a', Buffer.from('1'))
  await client.delete('/watch/a')
  await until('two events', () => seen.length === 2, { timeoutMs: 10_000 })
  t.deepEqual(seen, ['put /watch/a 1', 'delete /watch/a '])
  for (const member of etcd.members) {
    await member.stop('at once')
    await until(
      'a write without it',
      async () => {
        await client.put('/watch/b', Buffer.from(member.name))
        return true
      },
      { timeoutMs: 30_000 },
    )
    await until(`to hear of ${member.name}`, () => seen.includes(`put /watch/b ${member.name}`), {
      timeoutMs: 30_000,
    })
    await member.start()
  }
  t.true(lost.length > 0)
  stop.abort()
  await watching
})

test.serial(
  'a watch from the past begins there, and says when that is compacted away',
  async (t) => {
    const first = await client.put('/past', Buffer.from('1'))
    for (const text of ['2', '3']) await client.put('/past', Buffer.from(text))
    const stop = new AbortController()
    const seen: string[] = []
    const watching = client.watch('/past', {
      fromRevision: first,
      signal: stop.signal,
      onEvents: (events) => seen.push(...events.map(({ entry }) => entry.value.toString())),
    })
    await until('three events', () => seen.length === 3, { timeoutMs: 10_000 })
    t.deepEqual(seen, ['1', '2', '3'])
    stop.abort()
    await watching
    const { revision } = await client.range('/past')
    await client.compact(revision)
    const { signal } = new AbortController()
    await t.throwsAsync(
      client.watch('/past', { fromRevision: first, signal, onEvents: () => undefined }),
      { code: 'ERR_ETCD_COMPACTED' },
    )
    await t.throwsAsync(client.range('/past', { revision: first }), { code: 'ERR_ETCD_COMPACTED' })
  },
)

test.serial('a lease holds its keys while signs of life come, and no longer', async (t) => {
  const lease = await client.grantLease(6)
  await client.put('/lease', Buffer.from('here'), { leaseId: lease.leaseId })
  t.true((await client.range('/lease')).entries[0]?.leased)
  const stop = new AbortController()
  const keeping = client.keepLease(lease, { signal: stop.signal })
  await new Promise((resolve) => setTimeout(resolve, 9_000))
  t.is((await client.range('/lease')).count, 1)
  stop.abort()
  t.is(await keeping, 'stopped')
  await until('the key to go', async () => (await client.range('/lease')).count === 0, {
    timeoutMs: 20_000,
  })
  t.is(await client.keepLease(lease, { signal: ground.signal }), 'expired')
  const other = await client.grantLease(60)
  await client.put('/lease', Buffer.from('here'), { leaseId: other.leaseId })
  await client.revokeLease(other.leaseId)
  t.is((await client.range('/lease')).count, 0)
})

test.serial('members, alarms, and a snapshot that etcd’s own tool would take', async (t) => {
  const statuses = await until(
    'a leader',
    async () => {
      const found = await client.statuses()
      return found.some(({ leader }) => leader) && found
    },
    { timeoutMs: 20_000 },
  )
  t.deepEqual(
    statuses.map(({ name }) => name),
    ['etcd-1', 'etcd-2', 'etcd-3'],
  )
  t.is(statuses.filter(({ leader }) => leader).length, 1)
  for (const { version, dbSize, dbSizeInUse, hasLeader, learner } of statuses) {
    t.regex(version, /^3\.\d+\.\d+$/)
    t.true(dbSize >= dbSizeInUse && dbSizeInUse > 0 && hasLeader && !learner)
  }
  t.deepEqual(await client.alarms(), [])
  const path = join(ground.dir, 'snapshot.db')
  const saved = await client.saveSnapshot(path, { disk: systemDisk })
  const bytes = await readFile(path)
  t.is(bytes.byteLength, saved.bytes)
  t.is(createHash('sha256').update(bytes).digest('hex'), saved.sha256)
  t.is((await stat(path)).mode & 0o777, 0o600)
  await t.throwsAsync(client.saveSnapshot(path, { disk: systemDisk }), { code: 'ERR_USAGE' })
})

test.serial('without a quorum reads and writes end in time, and nothing was changed', async (t) => {
  const [first, second, third] = etcd.members
  if (first === undefined || second === undefined || third === undefined) return t.fail()
  await first.stop('at once')
  await second.stop('at once')
  const since = performance.now()
  await t.throwsAsync(client.range('/a', { timeoutMs: 2_000 }), { code: 'ERR_ETCD_UNAVAILABLE' })
  const write = await t.throwsAsync(client.put('/quorum', Buffer.of(1), { timeoutMs: 2_000 }))
  t.regex(
    String((write as { code?: unknown } | undefined)?.code),
    /^ERR_ETCD_(UNAVAILABLE|UNCERTAIN)$/,
  )
  t.true(performance.now() - since < 30_000)
  t.like(await client.range('/t', { serializable: true, timeoutMs: 30_000 }), { count: 0 })
  await Promise.all([first.start(), second.start()])
})
