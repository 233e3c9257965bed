/**
 * PORT. What stands beside a keyring and is not part of it: the journal of a rotation, the lock of
 * the one that runs, the register of backups, what scans have proved. Nothing in it is secret, and
 * no key depends on it: a lost annex costs proofs, which can be made again. Implementations live in
 * `stores/` and pass `test/contract/annex.ts`.
 */
export interface Annex {
  /** Where it is, for messages. */
  readonly location: string

  /**
   * Every entry of `kind`, in order of name.
   *
   * @throws `ERR_IO`, `ERR_KEYRING_UNSAFE`, `ERR_ETCD_*`.
   */
  list(kind: string): Promise<readonly AnnexEntry[]>

  /**
   * Makes entry `name` of `kind`, which survives a power cut when this returns. Entries never
   * change. Returns whether it was this call that made it; `false` when the name is taken.
   *
   * @throws `ERR_USAGE` for a kind or name that is not `[a-z0-9-]+`, at most 64 characters, or for
   * an entry above 64 KiB; `ERR_IO`, `ERR_DISK_FULL`, `ERR_KEYRING_UNSAFE`, `ERR_ETCD_*`.
   */
  create(kind: string, name: string, value: unknown): Promise<boolean>

  /** Removes an entry; returns whether there was one. */
  remove(kind: string, name: string): Promise<boolean>

  /**
   * Holds `name` exclusively until released, or until this process ends, however it ends.
   *
   * @throws `ERR_BUSY` when somebody else holds it.
   */
  lock(name: string, holder: string): Promise<AnnexLock>

  /** Lets go of connections. */
  close?(): void
}

/** An entry: its name, and the JSON value that it was made with. */
export interface AnnexEntry {
  readonly name: string
  readonly value: unknown
}

/** A lock that is held. */
export interface AnnexLock {
  /** Aborted when the lock is no longer certain: whoever holds it must stop. */
  readonly lost: AbortSignal
  release(): Promise<void>
}

const namePattern = /^[a-z0-9-]{1,64}$/

/** Largest entry, in bytes of JSON. */
export const maxAnnexEntryBytes = 65_536

/** Whether `name` can be the kind or the name of an entry. */
export function isAnnexName(name: string): boolean {
  return namePattern.test(name)
}
