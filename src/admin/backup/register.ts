import { sha256Label } from '../../base/bytes.ts'
import { LatchkeyError } from '../../base/errors.ts'
import type { Annex } from '../../keyring/annex.ts'

/** A snapshot of etcd that somebody keeps, and the keys that it needs. */
export interface RegisteredBackup {
  /** What people call it. */
  readonly name: string
  /** `sha256:` digest of the file. */
  readonly digest: string
  readonly bytes: number
  /** etcd's revision in it. */
  readonly revision: number
  /** Every key id found in it by a scan, superseded revisions included. */
  readonly keyIds: readonly string[]
  /** Encrypted values in it of which nobody can say which key they need. */
  readonly unreadable?: number
  /** RFC 3339, UTC. */
  readonly registeredAt: string
}

const kind = 'backup'

/** The register of snapshots, in a keyring's annex. */
export class BackupRegister {
  readonly #annex: Annex

  constructor(annex: Annex) {
    this.#annex = annex
  }

  /** Every registered snapshot, oldest registration first. */
  async list(): Promise<readonly RegisteredBackup[]> {
    return (await this.#annex.list(kind))
      .map(({ value }) => value as RegisteredBackup)
      .sort((a, b) => a.registeredAt.localeCompare(b.registeredAt) || a.name.localeCompare(b.name))
  }

  /**
   * Registers a snapshot.
   *
   * @throws `ERR_USAGE` when the name stands for another one already.
   */
  async add(entry: RegisteredBackup): Promise<RegisteredBackup> {
    if (await this.#annex.create(kind, entryName(entry.name), entry)) return entry
    const known = (await this.list()).find(({ name }) => name === entry.name)
    if (known?.digest === entry.digest) return known
    throw new LatchkeyError('ERR_USAGE', `another snapshot is registered as ${entry.name}`, {
      hint: 'give this one a name of its own with --name, or remove the other when its file is gone: latchkey backup remove NAME',
    })
  }

  /** Removes a snapshot from the register. Throws `ERR_USAGE` when there is none of that name. */
  async remove(name: string): Promise<void> {
    if (await this.#annex.remove(kind, entryName(name))) return
    throw new LatchkeyError('ERR_USAGE', `no snapshot is registered as ${name}`, {
      hint: 'see "latchkey backup list"',
    })
  }

  /** The snapshots that need `keyId`. */
  async needing(keyId: string): Promise<readonly RegisteredBackup[]> {
    return (await this.list()).filter(({ keyIds }) => keyIds.includes(keyId))
  }
}

/** Names of files may have any character, names of entries few. */
function entryName(name: string): string {
  return sha256Label(name).slice(7, 47)
}
