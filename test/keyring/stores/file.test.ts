import test from 'ava'
import * as fs from 'node:fs/promises'
import { createRandomPool } from '../../../src/base/random.ts'
import { systemDisk, type Disk } from '../../../src/clients/disk.ts'
import { maxDocumentBytes } from '../../../src/keyring/document.ts'
import { amendKeyring } from '../../../src/keyring/generations.ts'
import { loadRevision, markOf } from '../../../src/keyring/load.ts'
import type { KeyringStore } from '../../../src/keyring/store.ts'
import { fileStore } from '../../../src/keyring/stores/file.ts'
import { keyringStoreContract } from '../../contract/keyring-store.ts'
import { failingDisk, hookedDisk } from '../../support/hooked-disk.ts'
import { newKeyring, reopen } from '../../support/keyrings.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const uid = process.getuid?.() ?? 0
const random = createRandomPool()
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))
const createdAt = '2026-01-02T03:04:05Z'

function open(directory: string, disk: Disk = systemDisk): KeyringStore {
  return fileStore(directory, { disk, random, uid, recheckMs: 200 })
}

keyringStoreContract(test, 'file', async (t) => {
  const directory = `${await temporaryDirectory(t)}/keyring`
  return () => open(directory)
})

test('the files have the names, modes and number that FORMAT.md says', async (t) => {
  const directory = `${await temporaryDirectory(t)}/a/keyring`
  const { keyring } = await newKeyring()
  for (let count = 0; count < 4; count += 1) {
    await open(directory).publish(bytes(`${count}`), { replaces: count || undefined })
  }
  await open(directory).raiseHighWater(markOf(keyring))
  t.deepEqual(await fs.readdir(directory), [
    'high-water',
    'keyring.0000000003',
    'keyring.0000000004',
  ])
  t.is((await fs.stat(directory)).mode & 0o777, 0o700)
  for (const name of await fs.readdir(directory)) {
    t.is((await fs.stat(`${directory}/${name}`)).mode & 0o777, 0o600)
  }
})

test('the highest revision is current, whatever else lies there', async (t) => {
  const directory = await temporaryDirectory(t)
  for (const name of [
    'keyring.0000000002',
    'keyring.0000000010',
    'keyring.99',
    'keyring.00000000011',
    'keyring.0000000012~',
    '.tmp-AAAAAAAAAAAAAAAA',
    'lost+found',
  ]) {
    await fs.writeFile(`${directory}/${name}`, name)
  }
  t.deepEqual(await open(directory).load(), {
    revision: 10,
    bytes: bytes('keyring.0000000010'),
    location: `${directory}/keyring.0000000010`,
  })
})

test('a writer that slept while others published past it does not report success', async (t) => {
  const directory = `${await temporaryDirectory(t)}/keyring`
  const store = open(directory)
  await store.publish(bytes('1'), { replaces: undefined })
  const slow = open(
    directory,
    hookedDisk(systemDisk, async (call, run) => {
      if (call.name === 'link') {
        for (const revision of [1, 2, 3]) {
          await store.publish(bytes(String(revision + 1)), { replaces: revision })
        }
        t.false((await fs.readdir(directory)).includes('keyring.0000000002'))
      }
      await run()
    }),
  )
  await t.throwsAsync(slow.publish(bytes('slow'), { replaces: 1 }), {
    code: 'ERR_KEYRING_CONFLICT',
  })
  t.deepEqual((await store.load())?.bytes, bytes('4'))
  t.deepEqual(await fs.readdir(directory), ['keyring.0000000003', 'keyring.0000000004'])
})

test('a first writer that slept is told that there is a keyring', async (t) => {
  const directory = `${await temporaryDirectory(t)}/keyring`
  const store = open(directory)
  const slow = open(
    directory,
    hookedDisk(systemDisk, async (call, run) => {
      if (call.name === 'link') {
        await store.publish(bytes('1'), { replaces: undefined })
        await store.publish(bytes('2'), { replaces: 1 })
        await store.publish(bytes('3'), { replaces: 2 })
      }
      await run()
    }),
  )
  await t.throwsAsync(slow.publish(bytes('slow'), { replaces: undefined }), {
    code: 'ERR_KEYRING_EXISTS',
  })
  t.deepEqual((await store.load())?.bytes, bytes('3'))
})

test('a writer whose document was built upon at once did succeed', async (t) => {
  const directory = `${await temporaryDirectory(t)}/keyring`
  const { keyring, root, bytes: first } = await newKeyring()
  await open(directory).publish(first, { replaces: undefined })
  const next = amendKeyring(keyring, { createdAt })
  let replaces = 2
  const overtaken = open(
    directory,
    hookedDisk(systemDisk, async (call, run) => {
      await run()
      if (call.name !== 'link') return
      let newest = await reopen(next, root)
      for (let count = 0; count < 2; count += 1) {
        const after = amendKeyring(newest, { createdAt })
        await open(directory).publish(after.bytes, { replaces: replaces++ })
        newest = await reopen(after, root)
      }
    }),
  )
  await overtaken.publish(next.bytes, { replaces: 1 })
  const loaded = await loadRevision(open(directory), { roots: [root], mark: markOf(keyring) })
  t.is(loaded.keyring.generation, 4)
})

test('temporaries of killed writers go an hour later, whatever the clock says now', async (t) => {
  const directory = `${await temporaryDirectory(t)}/keyring`
  const store = open(directory)
  await store.publish(bytes('1'), { replaces: undefined })
  const [stale, recent, ahead] = ['.tmp-stale', '.tmp-recent', '.tmp-ahead'].map(
    (name) => `${directory}/${name}`,
  ) as [string, string, string]
  const nowSeconds = (await fs.stat(`${directory}/keyring.0000000001`)).mtimeMs / 1000
  for (const [path, seconds] of [
    [stale, nowSeconds - 3700],
    [recent, nowSeconds - 3000],
    [ahead, nowSeconds + 1_000_000],
  ] as const) {
    await fs.writeFile(path, 'left over')
    await fs.utimes(path, seconds, seconds)
  }
  await store.publish(bytes('2'), { replaces: 1 })
  t.deepEqual((await fs.readdir(directory)).filter((name) => name.startsWith('.tmp-')).sort(), [
    '.tmp-ahead',
    '.tmp-recent',
  ])
})

test('failing to tidy is no failure to publish', async (t) => {
  const directory = `${await temporaryDirectory(t)}/keyring`
  const store = open(
    directory,
    failingDisk(systemDisk, { code: 'EIO', fails: ({ name }) => name === 'unlink' }),
  )
  for (let count = 0; count < 4; count += 1) {
    await store.publish(bytes(`${count}`), { replaces: count || undefined })
  }
  t.deepEqual((await store.load())?.bytes, bytes('3'))
})

test('a directory that others may write is refused, before and after something is in it', async (t) => {
  const directory = await temporaryDirectory(t)
  await fs.chmod(directory, 0o770)
  const store = open(directory)
  await t.throwsAsync(store.publish(bytes('1'), { replaces: undefined }), {
    code: 'ERR_KEYRING_UNSAFE',
    message: `keyring directory ${directory} has mode 0770: its group may write it`,
  })
  t.deepEqual(await fs.readdir(directory), [])
  await fs.chmod(directory, 0o700)
  await store.publish(bytes('1'), { replaces: undefined })
  await fs.chmod(directory, 0o707)
  await t.throwsAsync(store.load(), { code: 'ERR_KEYRING_UNSAFE' })
  await t.throwsAsync(store.publish(bytes('2'), { replaces: 1 }), { code: 'ERR_KEYRING_UNSAFE' })
})

test('a directory behind a link is checked where it is', async (t) => {
  const parent = await temporaryDirectory(t)
  await fs.mkdir(`${parent}/real`, { mode: 0o700 })
  await fs.symlink('real', `${parent}/link`)
  await open(`${parent}/link`).publish(bytes('1'), { replaces: undefined })
  t.deepEqual((await open(`${parent}/real`).load())?.bytes, bytes('1'))
  await fs.chmod(`${parent}/real`, 0o777)
  await t.throwsAsync(open(`${parent}/link`).load(), { code: 'ERR_KEYRING_UNSAFE' })
})

test('a keyring of another user is refused', async (t) => {
  const directory = await temporaryDirectory(t)
  await open(directory).publish(bytes('1'), { replaces: undefined })
  if (uid === 0) {
    await fs.chown(`${directory}/keyring.0000000001`, 12_345, 0)
    await t.throwsAsync(open(directory).load(), {
      code: 'ERR_KEYRING_UNSAFE',
      message: /belongs to user 12345/,
    })
  } else {
    const other = fileStore(directory, { disk: systemDisk, random, uid: uid + 1 })
    await t.throwsAsync(other.load(), { code: 'ERR_KEYRING_UNSAFE', message: /belongs to user/ })
  }
})

test('a keyring that others may write, and one that is too large, are refused', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = `${directory}/keyring.0000000001`
  await fs.writeFile(path, 'x')
  await fs.chmod(path, 0o666)
  await t.throwsAsync(open(directory).load(), { code: 'ERR_KEYRING_UNSAFE' })
  await fs.chmod(path, 0o644)
  t.deepEqual((await open(directory).load())?.bytes, bytes('x'))
  await fs.truncate(path, maxDocumentBytes + 1)
  await t.throwsAsync(open(directory).load(), { code: 'ERR_KEYRING_EDITED' })
})

test('a high-water file that is none is refused, and not written over', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = `${directory}/high-water`
  const { keyring } = await newKeyring()
  await open(directory).raiseHighWater(markOf(keyring))
  const good = await fs.readFile(path, 'utf8')
  for (const bad of [
    '',
    good.slice(0, -1),
    good.replace('"generation":1', '"generation":0'),
    good.replace('"generation":1', '"generation":10000000000'),
    good.replace('sha256:', 'sha512:'),
    good.replace('{', '{ '),
    good.replace('"ancestors":[]', '"ancestors":["x"]'),
    good.replace('"ancestors":[]', '"ancestors":[],"more":1'),
    good.replace(keyring.keyringId, 'x'),
    'null\n',
    'x'.repeat(maxDocumentBytes + 1),
  ]) {
    t.not(bad, good)
    await fs.writeFile(path, bad)
    const invalid = { code: 'ERR_HIGH_WATER_INVALID' }
    await t.throwsAsync(open(directory).highWater(), invalid, bad.slice(0, 100))
    await t.throwsAsync(open(directory).raiseHighWater(markOf(keyring)), invalid)
    t.is(await fs.readFile(path, 'utf8'), bad)
  }
  await fs.rm(path)
  t.is(await open(directory).highWater(), undefined, 'its remedy works')
})

test('the last revision number there is leads to an error, not to a lost document', async (t) => {
  const directory = await temporaryDirectory(t)
  await fs.writeFile(`${directory}/keyring.9999999999`, 'x')
  await t.throwsAsync(open(directory).publish(bytes('y'), { replaces: 9_999_999_999 }), {
    code: 'ERR_KEYRING_FULL',
  })
  t.deepEqual(await fs.readdir(directory), ['keyring.9999999999'])
})

test('a place that is no directory is an error that says so', async (t) => {
  const directory = await temporaryDirectory(t)
  await fs.writeFile(`${directory}/file`, 'x')
  await t.throwsAsync(open(`${directory}/file`).load(), { code: 'ERR_IO', message: /ENOTDIR/ })
  await t.throwsAsync(open(`${directory}/file`).publish(bytes('1'), { replaces: undefined }), {
    code: 'ERR_IO',
    message: /is not a directory/,
  })
})

test('a watcher is not bound to one directory: it may come, go and be another', async (t) => {
  const parent = await temporaryDirectory(t)
  const directory = `${parent}/a/keyring`
  const controller = new AbortController()
  // It never looks without need, so whatever it sees it was told.
  const store = fileStore(directory, { disk: systemDisk, random, uid, recheckMs: 1e9 })
  let seen = ''
  // One after the other: a load that was begun earlier may end later.
  let loading = Promise.resolve()
  const watching = store.watch(() => {
    loading = loading.then(async () => {
      const stored = await store.load()
      seen = stored === undefined ? 'nothing' : Buffer.from(stored.bytes).toString()
    })
  }, controller.signal)
  const until = async (text: string): Promise<void> => {
    while (seen !== text) await new Promise((resolve) => setTimeout(resolve, 10))
  }
  await until('nothing')
  await open(directory).publish(bytes('1'), { replaces: undefined })
  await until('1')
  for (const moved of [directory, `${parent}/a`]) {
    await fs.rename(moved, `${moved}.away`)
    await until('nothing')
    for (const text of ['x', 'y', 'z']) {
      const replaces = (await open(directory).load())?.revision
      await open(directory).publish(bytes(`${moved} ${text}`), { replaces })
      await until(`${moved} ${text}`)
    }
  }
  await fs.rm(directory, { recursive: true })
  await open(directory).publish(bytes('again'), { replaces: undefined })
  await until('again')
  controller.abort()
  await watching
  t.pass()
})
