import type { LineageMark } from './lineage.ts'
import type { KeyringMembers, KeyringMembership } from './members.ts'

/**
 * PORT. Where keyring documents are kept. Implementations live in `stores/` and pass
 * `test/contract/keyring-store.ts`. A store moves bytes; whether they are a good keyring is decided
 * by whoever opens them.
 */
export interface KeyringStore {
  /** Where this store is, for messages: a path or a URL without credentials. */
  readonly location: string

  /**
   * The current document, or `undefined` when the store holds none.
   *
   * @throws `ERR_KEYRING_UNSAFE` when others may write what is stored, `ERR_IO` when it cannot be
   * read; both may be retried.
   */
  load(): Promise<StoredDocument | undefined>

  /**
   * Makes `bytes` the current document if, and only if, revision `replaces` still is the current one
   * (`undefined`: the store is still empty). When it returns, the document survives a power cut;
   * whenever it is interrupted, either the old or the new document is current.
   *
   * With `members`, the revision of a `MemberList`, also only if no node has joined since.
   *
   * @throws `ERR_KEYRING_CONFLICT` when somebody else published first, or a node has joined (reload and
   * decide again),
   * `ERR_KEYRING_EXISTS` when `replaces` is undefined and a document is there, `ERR_KEYRING_UNSAFE`
   * as {@link KeyringStore.load}, `ERR_DISK_FULL` and `ERR_IO` when it could not be written. The old
   * document is then still current, with one exception that the message tells: the new one is
   * current, but could not be made to survive a power cut.
   */
  publish(
    bytes: Uint8Array,
    options: { readonly replaces: number | undefined; readonly members?: number },
  ): Promise<void>

  /**
   * Calls `onChange` after the current document may have changed, until `signal` is aborted. May
   * call it without need; never misses the last change. Resolves when it has stopped.
   */
  watch(onChange: () => void, signal: AbortSignal): Promise<void>

  /**
   * The newest keyring that this node has accepted, or `undefined` when it has accepted none.
   *
   * @throws `ERR_HIGH_WATER_INVALID` when the record is there but unreadable, `ERR_KEYRING_UNSAFE`
   * when others may write it, `ERR_IO`.
   */
  highWater(): Promise<LineageMark | undefined>

  /**
   * Records `mark` durably as accepted by this node, unless what is recorded descends from it
   * already. When it returns, the document that was read before is durable too, so a service does
   * this before it encrypts with what it has loaded.
   *
   * @throws `ERR_DISK_FULL`, `ERR_IO`, and as {@link KeyringStore.highWater}.
   */
  raiseHighWater(mark: LineageMark): Promise<void>

  /** The nodes that share what is stored; `undefined` where there is exactly one. */
  readonly members?: KeyringMembers

  /** This node's part among them; only where a node, not an administrator, has opened the store. */
  readonly membership?: KeyringMembership

  /**
   * What this node has accepted, on a disk of its own, where the store itself is elsewhere and may be
   * out of reach. {@link KeyringStore.raiseHighWater} keeps it up to date.
   */
  readonly localCopy?: KeyringStore

  /** Lets go of connections. */
  close?(): void
}

/** A document as a store holds it. */
export interface StoredDocument {
  /** The store's own counter, for compare-and-swap; says nothing of the keyring's generation. */
  readonly revision: number
  readonly bytes: Uint8Array
  /** Where exactly this one is, for messages: a file or an etcd key. */
  readonly location: string
}
