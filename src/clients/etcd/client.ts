import type { Clock } from '../../base/clock.ts'
import type { RandomBytes } from '../../base/random.ts'
import { WireMessage } from '../../base/protobuf.ts'
import type { Disk } from '../disk.ts'
import { readAnswering, type AnsweringMember } from './clusters.ts'
import {
  deleteRequest,
  fieldsOf,
  headerRevision,
  numberOf,
  putRequest,
  rangeRequest,
  readRange,
  readTransaction,
  transactionRequest,
} from './codec.ts'
import type { CallLimits, EtcdConnections } from './connections.ts'
import { grantLease, keepLease, revokeLease, type EtcdLease } from './lease.ts'
import { readAlarms, readClusterId, readStatuses } from './maintenance.ts'
import type {
  EtcdAlarm,
  EtcdKey,
  EtcdMemberStatus,
  RangeAnswer,
  RangeQuery,
  Transaction,
  TransactionAnswer,
} from './messages.ts'
import { readPages, type EtcdPage, type PagesCluster, type PagesQuery } from './paging.ts'
import { saveSnapshot, type SavedSnapshot } from './snapshot.ts'
import { watchKeys, type WatchOptions } from './watch.ts'

/** How long a call may take. */
export interface CallOptions {
  /** Milliseconds until it must be answered. Default 5,000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** What a client needs from outside. */
export interface EtcdDeps {
  readonly clock: Clock
  readonly random: RandomBytes
}

const defaultTimeoutMs = 5_000

/**
 * A client of one etcd cluster, v3 API. Reads are asked of one member after the other until one
 * answers; writes are sent once.
 *
 * Every method throws `ERR_ETCD_UNAVAILABLE` when no member answers in time (nothing was changed),
 * `ERR_ETCD_UNCERTAIN` when a write was sent and not answered (it may have been made),
 * `ERR_ETCD_UNAUTHENTICATED`, `ERR_ETCD_FORBIDDEN`, `ERR_ETCD_REFUSED` for what etcd will not do,
 * `ERR_MESSAGE_INVALID` for an answer that is none, and the reason of an aborted signal.
 */
export class EtcdClient implements Disposable {
  /** Where the members are, for messages. */
  readonly location: string
  readonly #connections: EtcdConnections
  readonly #deps: EtcdDeps
  readonly #onClose: () => void
  readonly #pagesCluster: PagesCluster = {}

  constructor(
    connections: EtcdConnections,
    options: { readonly location: string; readonly onClose?: () => void },
    deps: EtcdDeps,
  ) {
    this.#connections = connections
    this.location = options.location
    this.#onClose = options.onClose ?? (() => undefined)
    this.#deps = deps
  }

  /** Entries of a key or a range. `ERR_ETCD_COMPACTED` when its revision is gone, `ERR_ETCD_TOO_LARGE`. */
  async range(key: EtcdKey, query: RangeQuery & CallOptions = {}): Promise<RangeAnswer> {
    const request = rangeRequest(key, query).encode()
    const limits = { ...limitsOf(query, 'read'), leaderless: query.serializable === true }
    return readRange(await this.#connections.unary('KV/Range', request, limits))
  }

  /** See {@link readPages}. */
  pages(key: EtcdKey, query: PagesQuery = {}): AsyncGenerator<EtcdPage> {
    return readPages(this.#connections, key, query, this.#pagesCluster)
  }

  /** Writes one key; returns the revision. */
  async put(
    key: EtcdKey,
    value: Uint8Array,
    options: CallOptions & { readonly leaseId?: number } = {},
  ): Promise<number> {
    const request = putRequest(key, value, options.leaseId).encode()
    const answer = await this.#connections.unary('KV/Put', request, limitsOf(options, 'write'))
    return headerRevision(fieldsOf(answer))
  }

  /** Removes a key or a range; returns how many keys there were. */
  async delete(
    key: EtcdKey,
    options: CallOptions & { readonly rangeEnd?: EtcdKey } = {},
  ): Promise<number> {
    const request = deleteRequest(key, options.rangeEnd).encode()
    const limits = limitsOf(options, 'write')
    return numberOf(
      fieldsOf(await this.#connections.unary('KV/DeleteRange', request, limits)).get(2),
    )
  }

  /** Compares and acts, at once and in one revision. Steps that only read are repeated as reads are. */
  async transact(transaction: Transaction, options: CallOptions = {}): Promise<TransactionAnswer> {
    const steps = [...(transaction.success ?? []), ...(transaction.failure ?? [])]
    const kind = steps.every((step) => 'range' in step) ? 'read' : 'write'
    const request = transactionRequest(transaction).encode()
    return readTransaction(
      await this.#connections.unary('KV/Txn', request, limitsOf(options, kind)),
    )
  }

  /** See {@link watchKeys}. */
  async watch(key: EtcdKey, options: WatchOptions): Promise<void> {
    const random = (): number => (this.#deps.random(1)[0] ?? 0) / 256
    await watchKeys(this.#connections, key, options, { clock: this.#deps.clock, random })
  }

  /** A lease of about `ttlSeconds`. */
  async grantLease(
    ttlSeconds: number,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<EtcdLease> {
    const { random } = this.#deps
    return await grantLease(this.#connections, ttlSeconds, { random, ...options })
  }

  /** See {@link keepLease}. */
  async keepLease(
    lease: EtcdLease,
    options: { readonly signal: AbortSignal; readonly onProblem?: (error: unknown) => void },
  ): Promise<'expired' | 'stopped'> {
    return await keepLease(this.#connections, lease, { clock: this.#deps.clock, ...options })
  }

  /** Ends a lease, and the keys that hang on it; fine when it has ended. */
  async revokeLease(leaseId: number): Promise<void> {
    await revokeLease(this.#connections, leaseId)
  }

  /** Forgets what was before `revision`; waits until it is gone from the database. */
  async compact(revision: number, options: CallOptions = {}): Promise<void> {
    const request = new WireMessage().varint(1, revision).varint(2, 1).encode()
    await this.#connections.unary('KV/Compact', request, limitsOf(options, 'write'))
  }

  /** The status of each member that the client was given. */
  async statuses(
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<readonly EtcdMemberStatus[]> {
    return await readStatuses(this.#connections, options.signal)
  }

  /** The alarms that are raised. */
  async alarms(options: { readonly signal?: AbortSignal } = {}): Promise<readonly EtcdAlarm[]> {
    return await readAlarms(this.#connections, options.signal)
  }

  /** Two clients with the same number are of one cluster; nothing else is meant by it. */
  async clusterId(options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    return await readClusterId(this.#connections, options.signal)
  }

  /** See {@link readAnswering}. */
  async answering(
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<readonly AnsweringMember[]> {
    return await readAnswering(this.#connections, options.signal)
  }

  /** See {@link saveSnapshot}. `path` is absolute. */
  async saveSnapshot(
    path: string,
    options: {
      readonly disk: Disk
      readonly signal?: AbortSignal
      readonly onProgress?: (written: number, remaining: number) => void
    },
  ): Promise<SavedSnapshot> {
    const { random } = this.#deps
    return await saveSnapshot(this.#connections, path, { ...options, random })
  }

  /** Ends every connection. */
  close(): void {
    this.#onClose()
    this.#connections.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function limitsOf(options: CallOptions, kind: 'read' | 'write'): CallLimits {
  return { kind, timeoutMs: options.timeoutMs ?? defaultTimeoutMs, signal: options.signal }
}
