/** One key-value record of an etcd. */
export interface StoredRecord {
  readonly key: string
  /** A view that holds until the next batch is asked for. */
  readonly value: Uint8Array
  /** Revision of the write that made it. */
  readonly modRevision: number
  /** `superseded`: a later write replaced or deleted it, and compaction has not removed it yet. */
  readonly state: 'current' | 'superseded'
}

/** Where records come from, for people and for whoever compares two scans. */
export interface SourceFacts {
  /** File or address. */
  readonly location: string
  /** The store's revision that was read. */
  readonly revision: number
  /** Older revisions than this were removed; absent when it is not known. */
  readonly compactedRevision?: number
  /** Whether superseded revisions are among the records. */
  readonly hasHistory: boolean
  /** Of a file: whether it carries its SHA-256, which was then verified. */
  readonly checksum?: 'verified' | 'missing'
}

/** PORT. An etcd that can be read record by record, in bounded memory. */
export interface RecordSource {
  /** What was read last; complete once {@link RecordSource.batches} has ended. */
  readonly facts: SourceFacts
  /**
   * All records, each key's current one exactly once, in any order. May be called again after its
   * end, and then reads again.
   *
   * @throws what is wrong with the source; `ERR_ABORTED` after the signal.
   */
  batches(signal: AbortSignal): AsyncIterable<readonly StoredRecord[]>
}
