import { constants } from 'node:fs'
import * as fs from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { abortedError, LatchkeyError, systemCode } from '../../base/errors.ts'
import { diskError } from '../disk.ts'
import { hasChecksum, verifyChecksum } from './checksum.ts'
import { invalidSnapshot } from './errors.ts'
import { readKeyValue, readRecordName, readRevision } from './key-value.ts'
import { readMeta } from './meta.ts'
import { PageFile, type Page } from './page-file.ts'
import { SeenKeys } from './seen-keys.ts'
import { bucketLeaves, findInBucket, readBuckets } from './tree.ts'

/** One record of a snapshot. */
export interface SnapshotRecord {
  readonly key: string
  /** A view that holds until the next batch is asked for. */
  readonly value: Uint8Array
  readonly modRevision: number
  /** `superseded`: replaced or deleted later, and not compacted away yet. */
  readonly state: 'current' | 'superseded'
}

/** An etcd database in a file, read without starting etcd. */
export interface Snapshot {
  readonly path: string
  /** Whether the file carries its SHA-256, which was then right; a copied database has none. */
  readonly checksum: 'verified' | 'missing'
  /** Bytes of the database. */
  readonly bytes: number
  /** Revision up to which older records were removed, or are being removed; 0 for none. */
  readonly compactedRevision: number
  /** The store's revision; complete once {@link Snapshot.batches} has ended. */
  readonly revision: number
  /**
   * Every record but deletions, newest first, in batches of one page. To be called once.
   *
   * @throws `ERR_SNAPSHOT_INVALID`; `ERR_ABORTED`.
   */
  batches(signal: AbortSignal): AsyncGenerator<readonly SnapshotRecord[]>
  close(): Promise<void>
}

/**
 * Opens a file of `etcdctl snapshot save`, or a copy of `member/snap/db` of an etcd that was not
 * running. The checksum, if there is one, is verified first. What memory it takes depends on the
 * number of keys alone (32 bytes each), not on the size of the file.
 *
 * @throws `ERR_USAGE` for a file that is not there; `ERR_SNAPSHOT_CHECKSUM`, `ERR_SNAPSHOT_INVALID`;
 * `ERR_IO`; `ERR_ABORTED`.
 */
export async function openSnapshot(
  path: string,
  options: {
    readonly signal: AbortSignal
    /** Told, while the checksum is verified, how much was read. */
    readonly onBytes?: (bytes: number) => void
  },
): Promise<Snapshot> {
  const handle = await open(path)
  try {
    const { size } = await handle.stat()
    const checksum = hasChecksum(size) ? 'verified' : 'missing'
    const bytes =
      checksum === 'verified' ? await verifyChecksum(handle, { fileBytes: size, ...options }) : size
    return new OpenSnapshot(handle, { path, checksum, bytes })
  } catch (error) {
    await handle.close()
    throw diskError(error, path)
  }
}

async function open(path: string): Promise<fs.FileHandle> {
  try {
    // Non-blocking: opening a FIFO that nobody writes would otherwise wait for ever.
    const handle = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    if ((await handle.stat()).isFile()) return handle
    await handle.close()
    throw new LatchkeyError('ERR_USAGE', `${path} is not a regular file`)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw diskError(error, path)
    throw new LatchkeyError('ERR_USAGE', `there is no file ${path}`)
  }
}

/** Longest time that reading keeps the process from anything else. */
const maxBusyMs = 20

/** What is scheduled may not be finished, but then etcd goes on with it when it starts. */
const compactions = ['scheduledCompactRev', 'finishedCompactRev']

class OpenSnapshot implements Snapshot {
  readonly path: string
  readonly checksum: 'verified' | 'missing'
  readonly bytes: number
  readonly compactedRevision: number
  readonly #handle: fs.FileHandle
  readonly #file: PageFile
  readonly #leaves: Iterable<Page>
  readonly #keys = new SeenKeys()
  #newest = 0
  /** The record before, which is a newer one: revisions only fall. */
  #before = { main: Number.MAX_SAFE_INTEGER, sub: Number.MAX_SAFE_INTEGER }

  constructor(
    handle: fs.FileHandle,
    about: {
      readonly path: string
      readonly checksum: 'verified' | 'missing'
      readonly bytes: number
    },
  ) {
    this.path = about.path
    this.checksum = about.checksum
    this.bytes = about.bytes
    this.#handle = handle
    const meta = readMeta(handle.fd, about.bytes)
    const inUse = meta.endPage * meta.pageBytes
    if (inUse > about.bytes) {
      throw invalidSnapshot(`it is cut short: ${about.bytes} of ${inUse} bytes are there`)
    }
    this.#file = new PageFile(handle.fd, {
      bytes: inUse,
      pageBytes: meta.pageBytes,
      isWhole: about.checksum === 'verified',
    })
    const buckets = readBuckets(this.#file, meta.root)
    const [records, facts] = [buckets.get('key'), buckets.get('meta')]
    if (records === undefined || facts === undefined) {
      throw invalidSnapshot('it is a bbolt database, but not one of etcd')
    }
    const found = findInBucket(this.#file, facts, compactions)
    this.compactedRevision = Math.max(...compactions.map((name) => readRevision(found.get(name))))
    this.#leaves = bucketLeaves(this.#file, records)
  }

  get revision(): number {
    // As etcd does when it starts on it (mvcc/kvstore.go, restore).
    return Math.max(this.#newest, this.compactedRevision, 1)
  }

  async *batches(signal: AbortSignal): AsyncGenerator<readonly SnapshotRecord[]> {
    let since = performance.now()
    for (const page of this.#leaves) {
      if (signal.aborted) throw abortedError(signal)
      yield this.#recordsOf(page)
      if (performance.now() - since < maxBusyMs) continue
      await setImmediate()
      since = performance.now()
    }
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  #recordsOf(page: Page): readonly SnapshotRecord[] {
    const records: SnapshotRecord[] = []
    for (let index = page.count - 1; index >= 0; index -= 1) {
      const leaf = page.leaf(index)
      if (leaf.isBucket) throw invalidSnapshot('there is a bucket among the records')
      const name = readRecordName(leaf.key)
      const { main, sub } = this.#before
      if (name.main > main || (name.main === main && name.sub >= sub)) {
        throw invalidSnapshot('its records are out of order')
      }
      this.#before = name
      this.#newest = Math.max(this.#newest, name.main)
      // Nothing under a revision is how "etcdutl snapshot restore --bump-revision" raises the store's
      // (etcdutl/snapshot/v3_snapshot.go); it stays there for ever, and is no key.
      if (leaf.value.byteLength === 0 && !name.tombstone) continue
      const { keyBytes, key, modRevision, value } = readKeyValue(leaf.value)
      const isNewest = this.#keys.add(keyBytes)
      if (name.tombstone) continue
      if (modRevision !== name.main) throw invalidSnapshot('a record has another revision')
      records.push({ key, value, modRevision, state: isNewest ? 'current' : 'superseded' })
    }
    return records
  }
}
