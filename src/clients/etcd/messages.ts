// What the client speaks of, in words of ours. Numbers of etcd are int64; revisions and sizes stay
// far below 2^53, and lease ids do because we choose them.

/** A key of etcd: bytes, or text that stands for its UTF-8. */
export type EtcdKey = string | Uint8Array

/** One key and its value. */
export interface EtcdEntry {
  /** As UTF-8. */
  readonly key: string
  /** A view of the answer; empty when only keys were asked for. */
  readonly value: Buffer
  /** Revision in which the key came to be. */
  readonly createRevision: number
  /** Revision of the last write. */
  readonly modRevision: number
  /** Writes since it came to be. */
  readonly version: number
  /** Whether the key goes when a lease ends. */
  readonly leased: boolean
}

/** What a range is limited to. */
export interface RangeQuery {
  /** First key behind the range; without it the range is the one key. See {@link prefixEnd}. */
  readonly rangeEnd?: EtcdKey
  /** Most entries in the answer; 0, the default, is no limit. */
  readonly limit?: number
  /** Revision to look at; the default, 0, is the newest. */
  readonly revision?: number
  readonly keysOnly?: boolean
  readonly countOnly?: boolean
  /** Take the asked member's own word, which may be old, instead of the cluster's. */
  readonly serializable?: boolean
}

/** Part of a range, in order of keys. */
export interface RangeAnswer {
  readonly entries: readonly EtcdEntry[]
  /** Revision of the store when it answered. */
  readonly revision: number
  /** Whether the limit left entries out. */
  readonly more: boolean
  /** Entries in the whole range. */
  readonly count: number
}

/** Condition of a transaction. With `rangeEnd` it must hold for every key in the range that exists. */
export type Comparison = {
  readonly key: EtcdKey
  readonly rangeEnd?: EtcdKey
  readonly is: '=' | '>' | '<' | '!='
} & (
  | {
      /** A key that does not exist has 0 in each. */
      readonly target: 'version' | 'create' | 'mod'
      readonly value: number
    }
  | { readonly target: 'value'; readonly value: Uint8Array }
)

/** A step of a transaction. */
export type Operation =
  | { readonly range: { readonly key: EtcdKey } & RangeQuery }
  | {
      readonly put: {
        readonly key: EtcdKey
        readonly value: Uint8Array
        readonly leaseId?: number
      }
    }
  | { readonly delete: { readonly key: EtcdKey; readonly rangeEnd?: EtcdKey } }

/** Conditions, and what is done when all hold and when not, at once and in one revision. */
export interface Transaction {
  readonly compare: readonly Comparison[]
  readonly success?: readonly Operation[]
  readonly failure?: readonly Operation[]
}

/** What one step of a transaction gave, in order. */
export type OperationAnswer =
  { readonly range: RangeAnswer } | { readonly put: true } | { readonly deleted: number }

/** What a transaction did. */
export interface TransactionAnswer {
  /** Whether all conditions held. */
  readonly succeeded: boolean
  readonly revision: number
  readonly answers: readonly OperationAnswer[]
}

/** A write that a watch saw. */
export interface EtcdEvent {
  readonly type: 'put' | 'delete'
  /** Of a deletion: the key, and `modRevision` is the revision that deleted it. */
  readonly entry: EtcdEntry
}

/** A member as its own answer describes it. */
export interface EtcdMemberStatus {
  /** Where it was asked. */
  readonly endpoint: string
  /** Why it did not answer; then nothing else is known. */
  readonly error?: unknown
  readonly name: string
  /** Of etcd, `3.6.8`. */
  readonly version: string
  /** Bytes of the database file. */
  readonly dbSize: number
  /** Bytes of it in use. */
  readonly dbSizeInUse: number
  readonly revision: number
  /** Whether it leads, as it sees it. */
  readonly leader: boolean
  /** Whether it knows of a leader at all. */
  readonly hasLeader: boolean
  readonly learner: boolean
}

/** An alarm that a member raised; `NOSPACE` stops all writes of the cluster. */
export interface EtcdAlarm {
  /** Name of the member. */
  readonly member: string
  readonly alarm: 'NOSPACE' | 'CORRUPT' | 'UNKNOWN'
}

/** The first key behind all that begin with `prefix`; when there is none, `\\0`, which etcd reads as the end. */
export function prefixEnd(prefix: EtcdKey): Uint8Array {
  const end = Buffer.from(keyBytes(prefix))
  for (let at = end.byteLength - 1; at >= 0; at -= 1) {
    const byte = end[at] ?? 0
    if (byte === 0xff) continue
    end[at] = byte + 1
    return end.subarray(0, at + 1)
  }
  return Buffer.of(0)
}

/** The bytes of a key. */
export function keyBytes(key: EtcdKey): Uint8Array {
  return typeof key === 'string' ? Buffer.from(key, 'utf8') : key
}
