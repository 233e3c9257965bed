import test, { type ExecutionContext } from 'ava'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { WireMessage } from '../../../src/base/protobuf.ts'
import { openSnapshot } from '../../../src/clients/snapshot/snapshot.ts'
import { boltFile, metaPage, type BoltRecord } from '../../support/bolt-file.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

// Files that are made here, as no etcd that this suite starts would write them.

async function read(
  t: ExecutionContext,
  bytes: Uint8Array,
): Promise<{ readonly revision: number; readonly records: readonly string[] }> {
  const path = join(await temporaryDirectory(t), 'db')
  await writeFile(path, bytes)
  const { signal } = new AbortController()
  const snapshot = await openSnapshot(path, { signal })
  try {
    const records: string[] = []
    for await (const batch of snapshot.batches(signal)) {
      records.push(...batch.map(({ key, state, value }) => `${key} ${state} ${value.byteLength}`))
    }
    return { revision: snapshot.revision, records }
  } finally {
    await snapshot.close()
  }
}

const put = (main: number, key: string, value: Uint8Array = Buffer.of(1)): BoltRecord => ({
  main,
  value: new WireMessage().text(1, key).varint(2, main).varint(3, main).bytes(5, value).encode(),
})
const remove = (main: number, key: string): BoltRecord => ({
  main,
  tombstone: true,
  value: new WireMessage().text(1, key).encode(),
})

test('several leaves, revisions of a key, a deletion, and a value over many pages', async (t) => {
  const large = Buffer.alloc(100_000, 1)
  const file = boltFile([
    [put(2, '/a'), put(3, '/b', large), put(4, '/a', Buffer.of(1, 2))],
    [remove(5, '/b'), put(6, '/c')],
    [put(7, '/c', Buffer.alloc(0))],
  ])
  const { records, revision } = await read(t, file)
  t.is(revision, 7)
  t.deepEqual(records, [
    '/c current 0',
    '/c superseded 1',
    '/a current 2',
    '/b superseded 100000',
    '/a superseded 1',
  ])
})

test('the mark of a bumped revision is no key, and raises the revision', async (t) => {
  const mark = { main: 1_000_000_003, value: new Uint8Array() }
  const { records, revision } = await read(t, boltFile([[put(2, '/a'), put(3, '/b'), mark]]))
  t.deepEqual(records, ['/b current 1', '/a current 1'])
  t.is(revision, 1_000_000_003)
  const nameless = { main: 4, value: new WireMessage().varint(3, 4).encode() }
  await t.throwsAsync(read(t, boltFile([[put(2, '/a'), nameless]])), {
    code: 'ERR_SNAPSHOT_INVALID',
  })
})

test('a value that looks like a meta page is not taken for one', async (t) => {
  for (const forgedPageBytes of [4096, 65_536]) {
    const file = boltFile([[put(2, '/a', Buffer.alloc(100_000, 1))]])
    // Where the second meta page of a database with pages of 64 KiB would be: amid the value.
    metaPage(16, {
      root: 3,
      end: 4,
      transaction: 99n,
      pageBytes: forgedPageBytes,
    }).copy(file, 65_536)
    t.deepEqual((await read(t, file)).records, ['/a current 100000'])
    file.fill(0xff, 16, 80)
    t.deepEqual((await read(t, file)).records, ['/a current 100000'])
  }
})

test('a child page that does not begin where its parent says is refused', async (t) => {
  const file = boltFile([
    [put(2, '/a'), put(3, '/b')],
    [put(4, '/c'), put(5, '/d')],
  ])
  t.is((await read(t, file)).records.length, 4)
  // As in a copy of a running etcd's database: the page was written again after its parent was read.
  const other = boltFile([[put(2, '/a'), put(3, '/b')], [put(5, '/d')]])
  const torn = Buffer.from(file)
  other.copy(torn, 6 * 4096, 6 * 4096)
  await t.throwsAsync(read(t, torn), { code: 'ERR_SNAPSHOT_INVALID', message: /begins elsewhere/ })
})
