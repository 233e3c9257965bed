import { fromUtf8 } from '../../base/bytes.ts'
import { isLatchkeyError } from '../../base/errors.ts'
import { readFields } from '../../base/protobuf.ts'
import { invalidSnapshot } from './errors.ts'

/** The revision that names a record in the bucket `key` (storage/mvcc/revision.go). */
export interface RecordName {
  readonly main: number
  readonly sub: number
  readonly tombstone: boolean
}

/** Reads `main (8 bytes) ‖ '_' ‖ sub (8 bytes)`, with `t` behind it for a deletion. Throws `ERR_SNAPSHOT_INVALID`. */
export function readRecordName(key: Buffer): RecordName {
  const tombstone = key.byteLength === 18 && key[17] === 0x74
  if ((key.byteLength !== 17 && !tombstone) || key[8] !== 0x5f) {
    throw invalidSnapshot('a record has no revision')
  }
  return { main: readNumber(key, 0), sub: readNumber(key, 9), tombstone }
}

/** A revision on its own, as etcd keeps compaction's in the bucket `meta`. */
export function readRevision(value: Buffer | undefined): number {
  return value === undefined ? 0 : readRecordName(value).main
}

function readNumber(bytes: Buffer, at: number): number {
  const high = bytes.readUInt32BE(at)
  // 2^52 writes are beyond any cluster, and what is above 2^53 could not be compared exactly.
  if (high >= 2 ** 20) throw invalidSnapshot('a revision is beyond any cluster')
  return high * 2 ** 32 + bytes.readUInt32BE(at + 4)
}

/** What of `mvccpb.KeyValue` (api/mvccpb/kv.proto) is read; values are views. */
export interface KeyValue {
  readonly keyBytes: Uint8Array
  /** The key as text; bytes that are not UTF-8 become U+FFFD, and then it is no key of an API server. */
  readonly key: string
  readonly modRevision: number
  readonly value: Uint8Array
}

const nothing = new Uint8Array()

/** Throws `ERR_SNAPSHOT_INVALID`. */
export function readKeyValue(message: Uint8Array): KeyValue {
  let [keyBytes, value, modRevision] = [nothing as Uint8Array, nothing as Uint8Array, 0]
  try {
    for (const field of readFields(message)) {
      if (field.kind === 'varint' && field.number === 3) modRevision = field.value
      if (field.kind !== 'bytes') continue
      if (field.number === 1) keyBytes = field.value
      if (field.number === 5) value = field.value
    }
  } catch (error) {
    if (!isLatchkeyError(error, 'ERR_MESSAGE_INVALID')) throw error
    throw invalidSnapshot('a record is no key-value')
  }
  if (keyBytes.byteLength === 0) throw invalidSnapshot('a record has no key')
  const key = fromUtf8(keyBytes) ?? Buffer.from(keyBytes).toString('utf8')
  return { keyBytes, key, modRevision, value }
}
