import type { RandomBytes } from '../base/random.ts'
import type { Disk } from '../clients/disk.ts'
import type { JoinedRoot, RootKey, SplitRoot } from '../keyring/root.ts'
import type { Annex } from '../keyring/annex.ts'
import type { KeyringStore } from '../keyring/store.ts'
import type { Terminal } from './terminal.ts'

/** What commands get from the process; adapters are opened by `cmd/`, which alone knows them. */
export interface AdminContext {
  readonly terminal: Terminal
  readonly random: RandomBytes
  /** Wall time, milliseconds since 1970. */
  readonly now: () => number
  readonly disk: Disk
  /** The process's user. */
  readonly uid: number
  /** Base of relative paths. */
  readonly cwd: string
  /** Opens what `--keyring` names; for a keyring in etcd with the flags that say how it is reached. */
  readonly openStore: (name: string, etcd?: EtcdKeyringFlags) => Promise<KeyringStore>
  /** What stands beside the keyring of that name. */
  readonly openAnnex: (name: string, etcd?: EtcdKeyringFlags) => Promise<Annex>
  readonly openRoot: (spec: string, options?: { readonly create?: boolean }) => Promise<RootKey>
  /** Makes a root that is to be given away in shares. */
  readonly splitRoot: (options: {
    readonly count: number
    readonly threshold: number
  }) => Promise<SplitRoot>
  /** Joins the shares in files, or `-`, the standard input, or `fd:N`. */
  readonly openShares: (names: readonly string[]) => Promise<JoinedRoot>
}

/** How a keyring in etcd is reached. */
export interface EtcdKeyringFlags {
  readonly etcdCa?: string | undefined
  readonly etcdCert?: string | undefined
  readonly etcdKey?: string | undefined
  /** Directory of this node's own copy. */
  readonly localCopy?: string | undefined
}

/** Which keyring a command is about, and what opens it. */
export interface KeyringFlags extends EtcdKeyringFlags {
  readonly keyring: string
  readonly root: readonly string[]
}
