import test from 'ava'
import * as fs from 'node:fs/promises'
import { dirname } from 'node:path'
import { createRandomPool } from '../../../src/base/random.ts'
import { SecretBytes } from '../../../src/base/secret.ts'
import { systemDisk, type Disk } from '../../../src/clients/disk.ts'
import { openFileStore } from '../../../src/secrets/sources/file-store.ts'
import { openStoreRoot } from '../../../src/secrets/sources/store-root.ts'
import {
  contentOf,
  temporaryDirectory,
  temporaryStore,
  textsOf,
} from '../../support/secret-store.ts'

const db = { namespace: 'shop', name: 'db' }
const uid = process.getuid?.() ?? 0

test('a secret is written, replaced, listed and removed, and one revision of it is kept', async (t) => {
  const { store, directory } = await temporaryStore(t)
  t.is(await store.load(db), undefined)
  await store.update(db, () => contentOf({ password: 'one' }))
  await store.update(db, (current) => {
    t.deepEqual(textsOf(current), { password: 'one' })
    return contentOf({ password: 'two' })
  })
  t.deepEqual(textsOf(await store.load(db)), { password: 'two' })
  t.deepEqual(await store.list(), [db])
  t.deepEqual(await fs.readdir(`${directory}/shop/db`), ['0000000002'])
  await store.update(db, () => undefined)
  t.is(await store.load(db), undefined)
  t.deepEqual(await store.list(), [])
  await store.update(db, () => contentOf({ password: 'three' }))
  t.deepEqual(await fs.readdir(`${directory}/shop/db`), ['0000000004'])
})

test('nothing in the store is readable for others or holds a value in the clear', async (t) => {
  const { store, directory } = await temporaryStore(t)
  await store.update(db, () => contentOf({ password: 'correct horse battery staple' }))
  for await (const path of fs.glob(`${directory}/**`)) {
    const stat = await fs.stat(path)
    t.is(stat.mode & 0o077, 0, path)
    if (!stat.isFile()) continue
    const text = await fs.readFile(path, 'latin1')
    t.false(text.includes('horse') || text.includes('password'), path)
  }
})

test('of writers at the same time none loses what another wrote', async (t) => {
  const { directory } = await temporaryStore(t)
  const writers = await Promise.all(
    ['a', 'b', 'c', 'd'].map(async (key) => ({ key, ...(await temporaryStore(t, directory)) })),
  )
  await Promise.all(
    writers.map(({ key, store }) =>
      store.update(db, (current) => contentOf({ ...textsOf(current), [key]: key })),
    ),
  )
  const { store } = await temporaryStore(t, directory)
  t.deepEqual(textsOf(await store.load(db)), { a: 'a', b: 'b', c: 'c', d: 'd' })
})

test('a writer that was overtaken while it slept does not bring the past back', async (t) => {
  const { store, directory } = await temporaryStore(t)
  await store.update(db, () => contentOf({ n: '1' }))
  let overtaken = false
  const slow: Disk = {
    ...systemDisk,
    link: async (from, to) => {
      if (!overtaken) {
        overtaken = true
        // Two writes of others: the name that this writer is about to take is free again after them.
        await store.update(db, () => contentOf({ n: '2' }))
        await store.update(db, () => contentOf({ n: '3' }))
      }
      await systemDisk.link(from, to)
    },
  }
  const { store: sleeper } = await temporaryStore(t, directory, slow)
  const seen: (string | undefined)[] = []
  await sleeper.update(db, (current) => {
    seen.push(textsOf(current)?.['n'])
    return contentOf({ ...textsOf(current), late: 'yes' })
  })
  t.deepEqual(seen, ['1', '3'])
  t.deepEqual(textsOf(await store.load(db)), { n: '3', late: 'yes' })
})

test('interrupted between any two system calls it has the old content or the new', async (t) => {
  const { store, directory } = await temporaryStore(t)
  await store.update(db, () => contentOf({ n: 'old' }))
  let interrupted = 0
  for (let limit = 0; ; limit += 1) {
    let calls = 0
    const count = async <T>(call: () => Promise<T>): Promise<T> => {
      if (calls >= limit) throw Object.assign(new Error('the process is gone'), { code: 'EIO' })
      calls += 1
      return await call()
    }
    const dying: Disk = {
      create: (path, mode) =>
        count(async () => {
          const file = await systemDisk.create(path, mode)
          return {
            write: (bytes) => count(() => file.write(bytes)),
            sync: () => count(() => file.sync()),
            close: () => file.close(),
          }
        }),
      link: (a, b) => count(() => systemDisk.link(a, b)),
      rename: (a, b) => count(() => systemDisk.rename(a, b)),
      unlink: (path) => count(() => systemDisk.unlink(path)),
      mkdir: (path, mode) => count(() => systemDisk.mkdir(path, mode)),
      syncDirectory: (path) => count(() => systemDisk.syncDirectory(path)),
    }
    const copy = `${await temporaryDirectory(t)}/store`
    await fs.cp(directory, copy, { recursive: true })
    const { store: writer } = await temporaryStore(t, copy, dying)
    const failed = await writer
      .update(db, () => contentOf({ n: 'new' }))
      .then(
        () => false,
        () => true,
      )
    const { store: reader } = await temporaryStore(t, copy)
    const found = textsOf(await reader.load(db))?.['n'] ?? ''
    t.true(failed ? ['old', 'new'].includes(found) : found === 'new', `after ${limit} calls`)
    await reader.update(db, () => contentOf({ n: 'after' }))
    t.deepEqual(textsOf(await reader.load(db)), { n: 'after' })
    if (!failed && calls < limit) break
    interrupted += 1
  }
  t.true(interrupted >= 7)
})

test('a full disk is its own error and changes nothing', async (t) => {
  const { store, directory } = await temporaryStore(t)
  await store.update(db, () => contentOf({ n: 'old' }))
  const full: Disk = {
    ...systemDisk,
    create: async (path, mode) => ({
      ...(await systemDisk.create(path, mode)),
      write: async () => {
        throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
      },
    }),
  }
  const { store: writer } = await temporaryStore(t, directory, full)
  await t.throwsAsync(
    writer.update(db, () => contentOf({ n: 'new' })),
    { code: 'ERR_DISK_FULL' },
  )
  t.deepEqual(textsOf(await store.load(db)), { n: 'old' })
  t.deepEqual(await fs.readdir(`${directory}/shop/db`), ['0000000001'])
})

test('a file that others may read, or that came from elsewhere, is refused', async (t) => {
  const { store, directory } = await temporaryStore(t)
  await store.update(db, () => contentOf({ n: '1' }))
  await fs.chmod(`${directory}/shop/db/0000000001`, 0o640)
  await t.throwsAsync(store.load(db), { code: 'ERR_SECRET_STORE_UNSAFE' })
  await fs.chmod(`${directory}/shop/db/0000000001`, 0o600)
  await fs.mkdir(`${directory}/bank`, { mode: 0o700 })
  await fs.cp(`${directory}/shop/db`, `${directory}/bank/db`, { recursive: true })
  await t.throwsAsync(store.load({ namespace: 'bank', name: 'db' }), {
    code: 'ERR_SECRET_STORE_INVALID',
  })
  await fs.rename(`${directory}/shop/db/0000000001`, `${directory}/shop/db/0000000009`)
  await t.throwsAsync(store.load(db), { code: 'ERR_SECRET_STORE_INVALID' })
})

test('a store is made only where asked to, and only in an empty directory', async (t) => {
  const directory = await temporaryDirectory(t)
  const deps = { disk: systemDisk, random: createRandomPool(), uid, now: () => 0 }
  using root = SecretBytes.take(new Uint8Array(32))
  await t.throwsAsync(openFileStore(`${directory}/none`, { root, create: false, deps }), {
    code: 'ERR_SECRET_STORE_INVALID',
  })
  await fs.writeFile(`${directory}/photo`, '')
  await t.throwsAsync(openFileStore(directory, { root, create: true, deps }), {
    code: 'ERR_SECRET_STORE_INVALID',
  })
  const { directory: made } = await temporaryStore(t)
  await t.throwsAsync(openFileStore(made, { root, create: false, deps }), {
    code: 'ERR_ROOT_WRONG',
  })
})

test('the root lies neither in the store nor beside it, is 32 bytes, and belongs to its owner alone', async (t) => {
  const base = await temporaryDirectory(t)
  const directory = `${base}/data/store`
  await fs.mkdir(directory, { recursive: true })
  const deps = { disk: systemDisk, random: createRandomPool(), uid, cwd: base }
  const open = async (path: string, create = false): Promise<number> => {
    using root = await openStoreRoot(`file:${path}`, { directory, create, deps })
    return root.byteLength
  }
  for (const path of ['data/store/root', 'data/store/deep/root', 'data/root']) {
    await t.throwsAsync(open(path, true), { code: 'ERR_ROOT_UNSAFE' })
    await t.throwsAsync(fs.stat(`${base}/${path}`), { code: 'ENOENT' })
  }
  await t.throwsAsync(open('roots/root'), { code: 'ERR_ROOT_NOT_FOUND' })
  t.is(await open('roots/root', true), 32)
  t.is((await fs.stat(`${base}/roots/root`)).mode & 0o777, 0o400)
  t.is(await open('roots/root', true), 32)
  // A link from an honest place to a file in the store is still a root in the store.
  await fs.cp(`${base}/roots/root`, `${directory}/root`)
  await fs.symlink(`${directory}/root`, `${base}/roots/link`)
  await t.throwsAsync(open('roots/link'), { code: 'ERR_ROOT_UNSAFE' })
  await fs.chmod(`${base}/roots/root`, 0o440)
  await t.throwsAsync(open('roots/root'), { code: 'ERR_ROOT_UNSAFE' })
  await fs.writeFile(`${base}/roots/short`, 'x', { mode: 0o400 })
  await t.throwsAsync(open('roots/short'), { code: 'ERR_ROOT_INVALID' })
  await t.throwsAsync(openStoreRoot('passphrase:x', { directory, create: false, deps }), {
    code: 'ERR_USAGE',
  })
  t.is(dirname(directory), `${base}/data`)
})

test('a store that vanished, or was replaced, is an error and not a store without secrets', async (t) => {
  const { store, directory } = await temporaryStore(t)
  await store.update(db, () => contentOf({ n: '1' }))
  await fs.rename(directory, `${directory}.away`)
  await t.throwsAsync(store.load(db), { code: 'ERR_SECRET_STORE_INVALID' })
  const { directory: other } = await temporaryStore(t)
  await fs.rename(other, directory)
  await t.throwsAsync(store.load(db), { code: 'ERR_SECRET_STORE_INVALID' })
  await fs.rm(directory, { recursive: true })
  await fs.rename(`${directory}.away`, directory)
  t.deepEqual(textsOf(await store.load(db)), { n: '1' })
})

test('a secret whose files went, or grew old, by themselves is an error and not a secret that was removed', async (t) => {
  const { store, directory } = await temporaryStore(t)
  const later = await temporaryStore(t, directory)
  const place = `${directory}/${db.namespace}/${db.name}`
  await store.update(db, () => contentOf({ n: '1' }))
  await fs.cp(place, `${directory}.copy`, { recursive: true })
  await store.update(db, () => contentOf({ n: '2' }))
  t.deepEqual(textsOf(await store.load(db)), { n: '2' })
  const bad = { code: 'ERR_SECRET_STORE_INVALID' }
  await fs.rename(place, `${directory}.away`)
  await t.throwsAsync(store.load(db), bad)
  await fs.cp(`${directory}.copy`, place, { recursive: true })
  await t.throwsAsync(store.load(db), bad)
  await t.throwsAsync(
    store.update(db, () => undefined),
    bad,
  )
  t.deepEqual(textsOf(await later.store.load(db)), { n: '1' }, 'whoever starts later cannot know')
  await fs.rm(place, { recursive: true })
  await fs.rename(`${directory}.away`, place)
  t.deepEqual(textsOf(await store.load(db)), { n: '2' })
  await store.update(db, () => undefined)
  t.is(await store.load(db), undefined)
})
