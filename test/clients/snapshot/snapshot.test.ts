import test, { type ExecutionContext } from 'ava'
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isLatchkeyError, LatchkeyError } from '../../../src/base/errors.ts'
import { openSnapshot } from '../../../src/clients/snapshot/snapshot.ts'
import { snapshotVector, type RecordVector } from '../../support/etcd-vectors.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const vector = await snapshotVector()
/** The database without its checksum, in which bytes can be changed. */
const database = vector.file.subarray(0, -32)
const { signal } = new AbortController()
const pageBytes = 4096

async function read(
  t: ExecutionContext,
  bytes: Uint8Array,
): Promise<{
  readonly records: readonly RecordVector[]
  readonly revision: number
  readonly compactedRevision: number
  readonly checksum: string
}> {
  const path = join(await temporaryDirectory(t), 'db')
  await writeFile(path, bytes)
  const snapshot = await openSnapshot(path, { signal })
  try {
    const records: RecordVector[] = []
    for await (const batch of snapshot.batches(signal)) {
      for (const { value, ...record } of batch) {
        records.push({ ...record, sha256: createHash('sha256').update(value).digest('hex') })
      }
    }
    const { revision, compactedRevision, checksum } = snapshot
    return { records, revision, compactedRevision, checksum }
  } finally {
    await snapshot.close()
  }
}

const order = (a: RecordVector, b: RecordVector): number => a.modRevision - b.modRevision

test('a real snapshot holds what etcd said it does', async (t) => {
  const { records, revision, compactedRevision, checksum } = await read(t, vector.file)
  t.is(checksum, 'verified')
  t.is(revision, vector.revision)
  t.is(compactedRevision, vector.compactedRevision)
  t.deepEqual(records.toSorted(order), vector.records.toSorted(order))
  t.true(records.some(({ state }) => state === 'superseded'))
})

test('without its checksum it is read as well, and that is told', async (t) => {
  const { records, checksum } = await read(t, database)
  t.is(checksum, 'missing')
  t.is(records.length, vector.records.length)
})

test('one damaged meta page is made up for by the other', async (t) => {
  for (const at of [20, pageBytes + 20]) {
    const edited = Buffer.from(database)
    edited.fill(0xff, at, at + 30)
    t.is((await read(t, edited)).records.length, vector.records.length)
  }
  const both = Buffer.from(database)
  both.fill(0xff, 16, 80)
  both.fill(0xff, pageBytes + 16, pageBytes + 80)
  await t.throwsAsync(read(t, both), { code: 'ERR_SNAPSHOT_INVALID' })
})

test('cut short anywhere it is refused', async (t) => {
  for (const share of [0, 0.01, 0.1, 0.5, 0.9, 0.99]) {
    const cut = vector.file.subarray(0, Math.floor(vector.file.byteLength * share))
    await t.throwsAsync(
      read(t, cut),
      { instanceOf: LatchkeyError, message: /snapshot/ },
      `${share}`,
    )
  }
})

test('no damage makes it crash, loop or take much memory', async (t) => {
  const path = join(await temporaryDirectory(t), 'db')
  const random = seededRandom('damage')
  const number = (below: number): number => Buffer.from(random(4)).readUInt32LE() % below
  const outcomes = new Map<string, number>()
  for (let round = 0; round < 300; round += 1) {
    const edited = Buffer.from(database)
    for (let edits = number(4) + 1; edits > 0; edits -= 1) {
      // Headers and element tables are where damage could lead astray.
      const page = number(edited.byteLength / pageBytes) * pageBytes
      edited[page + number(round % 2 === 0 ? 96 : pageBytes)] = number(256)
    }
    await writeFile(path, edited)
    const outcome = await readThrough(path)
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  }
  t.log(Object.fromEntries(outcomes))
  t.deepEqual([...outcomes.keys()].sort(), ['ERR_SNAPSHOT_INVALID', 'read'])
})

async function readThrough(path: string): Promise<string> {
  try {
    const snapshot = await openSnapshot(path, { signal })
    try {
      let records = 0
      for await (const batch of snapshot.batches(signal)) records += batch.length
      return records > 1_000_000 ? 'too many' : 'read'
    } finally {
      await snapshot.close()
    }
  } catch (error) {
    return isLatchkeyError(error) ? error.code : 'another error'
  }
}

test('a loop of pages and a page of two parents are refused', async (t) => {
  let branches = 0
  for (let at = 2 * pageBytes; at < database.byteLength; at += pageBytes) {
    if (database.readUInt16LE(at + 8) !== 0x01) continue
    branches += 1
    const loop = Buffer.from(database)
    loop.writeBigUInt64LE(BigInt(at / pageBytes), at + 16 + 8)
    await t.throwsAsync(read(t, loop), { code: 'ERR_SNAPSHOT_INVALID', message: /used twice/ })
    const shared = Buffer.from(database)
    shared.copy(shared, at + 16 + 8, at + 32 + 8, at + 32 + 16)
    await t.throwsAsync(read(t, shared), { code: 'ERR_SNAPSHOT_INVALID', message: /used twice/ })
  }
  t.true(branches > 0)
})

test('a bbolt database without the buckets of etcd is told apart', async (t) => {
  const edited = Buffer.from(database)
  for (let at = edited.indexOf('meta'); at >= 0; at = edited.indexOf('meta', at + 1)) {
    edited.write('mato', at)
  }
  await t.throwsAsync(read(t, edited), { code: 'ERR_SNAPSHOT_INVALID', message: /not one of etcd/ })
})

test('what is no file of a database is refused', async (t) => {
  await t.throwsAsync(read(t, Buffer.from('hello')), { code: 'ERR_SNAPSHOT_INVALID' })
  await t.throwsAsync(read(t, Buffer.alloc(9 * pageBytes)), { code: 'ERR_SNAPSHOT_INVALID' })
  const directory = await temporaryDirectory(t)
  await mkdir(join(directory, 'db'))
  await t.throwsAsync(openSnapshot(join(directory, 'db'), { signal }), { code: 'ERR_USAGE' })
  await t.throwsAsync(openSnapshot(join(directory, 'none'), { signal }), { code: 'ERR_USAGE' })
})

test('reading ends on its signal', async (t) => {
  const path = join(await temporaryDirectory(t), 'db')
  await writeFile(path, vector.file)
  const abort = new AbortController()
  const snapshot = await openSnapshot(path, { signal: abort.signal })
  abort.abort()
  await t.throwsAsync(snapshot.batches(abort.signal).next(), { code: 'ERR_ABORTED' })
  await snapshot.close()
  await t.throwsAsync(openSnapshot(path, { signal: abort.signal }), { code: 'ERR_ABORTED' })
})
