import test, { type ExecutionContext } from 'ava'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../../src/base/clock.ts'
import { systemDisk } from '../../../src/clients/disk.ts'
import { amendKeyring, createKeyring } from '../../../src/keyring/generations.ts'
import { loadKeyring, markOf } from '../../../src/keyring/load.ts'
import { copyStore } from '../../../src/keyring/stores/keep-copy.ts'
import { etcdStore } from '../../../src/keyring/stores/etcd.ts'
import type { KeyringStore } from '../../../src/keyring/store.ts'
import { keyringStoreContract } from '../../contract/keyring-store.ts'
import { fakeEtcd, type FakeConnection } from '../../support/fake-etcd.ts'
import { deps, newRoot, reopen } from '../../support/keyrings.ts'

const prefix = '/latchkey'

async function copyIn(t: ExecutionContext): Promise<KeyringStore> {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-copy-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return copyStore(join(directory, 'copy'), {
    disk: systemDisk,
    random: deps.random,
    uid: process.getuid?.() ?? 0,
  })
}

function storeOver(etcd: FakeConnection, localCopy?: KeyringStore): KeyringStore {
  return etcdStore({ etcd, prefix, clock: systemClock, localCopy, membership: undefined })
}

const holds = async (store: KeyringStore, bytes: Uint8Array): Promise<boolean> =>
  Buffer.from(bytes).equals((await store.load())?.bytes ?? Buffer.alloc(0))

keyringStoreContract(test, 'etcd', async (t) => {
  const etcd = fakeEtcd()
  const localCopy = await copyIn(t)
  return () => storeOver(etcd.connect(), localCopy)
})

test('what is accepted is kept on the node’s own disk, and nothing before it is', async (t) => {
  const etcd = fakeEtcd()
  const localCopy = await copyIn(t)
  const store = storeOver(etcd.connect(), localCopy)
  const root = newRoot()
  const first = await createKeyring({ clusterId: 'c', roots: [root] }, deps)
  await store.publish(first.bytes, { replaces: undefined })
  using keyring = await loadKeyring(store, { roots: [root] })
  t.is(await localCopy.load(), undefined)
  await store.raiseHighWater(markOf(keyring))
  t.true(await holds(localCopy, first.bytes))
  t.is((await store.highWater())?.digest, keyring.digest)
  await store.raiseHighWater(markOf(keyring))
  t.is((await localCopy.load())?.revision, 1)
})

test('a document from before what the node has used does not take the copy’s place', async (t) => {
  const etcd = fakeEtcd()
  const localCopy = await copyIn(t)
  const store = storeOver(etcd.connect(), localCopy)
  const root = newRoot()
  const first = await createKeyring({ clusterId: 'c', roots: [root] }, deps)
  await store.publish(first.bytes, { replaces: undefined })
  using keyring = await reopen(first, root)
  const second = amendKeyring(keyring, { createdAt: '2026-01-02T03:04:05Z' })
  const restore = etcd.save()
  await store.publish(second.bytes, { replaces: (await store.load())?.revision })
  using newer = await loadKeyring(store, { roots: [root] })
  await store.raiseHighWater(markOf(newer))
  restore()
  t.true(await holds(store, first.bytes))
  await t.throwsAsync(loadKeyring(store, { roots: [root] }), { code: 'ERR_KEYRING_ROLLED_BACK' })
  await store.raiseHighWater(markOf(keyring))
  t.true(await holds(localCopy, second.bytes))
})

test('the document before the current one stays beside it', async (t) => {
  const etcd = fakeEtcd()
  const store = storeOver(etcd.connect())
  await store.publish(Buffer.from('one'), { replaces: undefined })
  await store.publish(Buffer.from('two'), { replaces: (await store.load())?.revision })
  t.deepEqual(etcd.keys(), ['/latchkey/keyring', '/latchkey/previous'])
  t.is(etcd.get('/latchkey/previous'), 'one')
})

test('two documents that are too much for one request do not hold the new one up', async (t) => {
  const etcd = fakeEtcd()
  const store = storeOver(etcd.connect())
  await store.publish(Buffer.alloc(800_000, 'a'), { replaces: undefined })
  await store.publish(Buffer.alloc(800_000, 'b'), { replaces: (await store.load())?.revision })
  t.deepEqual(etcd.keys(), ['/latchkey/keyring'])
})

test('a publication that etcd did not answer is looked for: made, it is done', async (t) => {
  const etcd = fakeEtcd()
  const connection = etcd.connect()
  const store = storeOver(connection)
  connection.mode = 'unanswered'
  await store.publish(Buffer.from('one'), { replaces: undefined })
  t.is(etcd.get('/latchkey/keyring'), 'one')
})

test('a publication of which nobody knows is said to be one', async (t) => {
  const etcd = fakeEtcd()
  const connection = etcd.connect()
  const store = storeOver({
    ...connection,
    transact: async (...args) => {
      connection.mode = 'unanswered'
      try {
        return await connection.transact(...args)
      } finally {
        connection.mode = 'cut'
      }
    },
    range: (...args) => connection.range(...args),
  })
  await t.throwsAsync(store.publish(Buffer.from('one'), { replaces: undefined }), {
    code: 'ERR_ETCD_UNCERTAIN',
  })
})

test('a node that joins between the question and the publication stops it', async (t) => {
  const etcd = fakeEtcd()
  const store = storeOver(etcd.connect())
  await store.publish(Buffer.from('one'), { replaces: undefined })
  const replaces = (await store.load())?.revision
  const member = JSON.stringify({
    format: 1,
    nodeId: 'A'.repeat(22),
    joinedAt: '2026-01-02T03:04:05Z',
  })
  etcd.put('/latchkey/members/cp-1', member)
  const list = await store.members?.list()
  if (list === undefined) return t.fail()
  etcd.put('/latchkey/members/cp-2', member)
  await t.throwsAsync(store.publish(Buffer.from('two'), { replaces, members: list.revision }), {
    code: 'ERR_KEYRING_CONFLICT',
  })
  t.is(etcd.get('/latchkey/keyring'), 'one')
  const { revision } = (await store.members?.list()) ?? { revision: 0 }
  await store.publish(Buffer.from('two'), { replaces, members: revision })
  t.is(etcd.get('/latchkey/keyring'), 'two')
})

test('without a place for a copy nothing is kept and nothing remembered', async (t) => {
  const etcd = fakeEtcd()
  const store = storeOver(etcd.connect())
  const root = newRoot()
  const first = await createKeyring({ clusterId: 'c', roots: [root] }, deps)
  await store.publish(first.bytes, { replaces: undefined })
  using keyring = await loadKeyring(store, { roots: [root] })
  await store.raiseHighWater(markOf(keyring))
  t.is(await store.highWater(), undefined)
  t.is(store.localCopy, undefined)
})

test('a copy on a full disk stops what would be accepted', async (t) => {
  const etcd = fakeEtcd()
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-copy-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const full = Object.assign(new Error('full'), { code: 'ENOSPC' })
  const localCopy = copyStore(join(directory, 'copy'), {
    disk: { ...systemDisk, create: () => Promise.reject(full) },
    random: deps.random,
    uid: process.getuid?.() ?? 0,
  })
  const store = storeOver(etcd.connect(), localCopy)
  const root = newRoot()
  const first = await createKeyring({ clusterId: 'c', roots: [root] }, deps)
  await store.publish(first.bytes, { replaces: undefined })
  using keyring = await loadKeyring(store, { roots: [root] })
  await t.throwsAsync(store.raiseHighWater(markOf(keyring)), { code: 'ERR_DISK_FULL' })
  t.deepEqual(await readdir(join(directory, 'copy')), [])
})
