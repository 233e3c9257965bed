import type { Clock } from '../../../base/clock.ts'
import type { Keyring } from '../../../keyring/keyring.ts'
import type { Transition } from '../../../keyring/transitions.ts'
import type { CurrentKeyring } from '../current.ts'
import type { Proofs } from '../proofs.ts'
import type { RotationEvent } from './events.ts'
import type { Journal } from './journal.ts'

/** What a rotation works with. Each port is as narrow as its step. */
export interface RotationPorts {
  readonly keyring: RotationKeyring
  readonly membership: Membership
  readonly servers: ServerDirectory
  readonly canaries: Canaries
  readonly storage: Storage
  readonly migrator: Migrator
  readonly journal: Journal
  readonly proofs: Pick<Proofs, 'add'>
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly jitter: () => number
  readonly tell: (event: RotationEvent) => void
}

/** The keyring that is rotated. */
export interface RotationKeyring {
  /** What is current now; the caller disposes of it. */
  open(): Promise<CurrentKeyring>
  /**
   * Publishes the generation after `current`. With `members`, the revision of a
   * {@link MemberCheck}, only while the set of members still is what was checked.
   *
   * @throws `ERR_KEYRING_CONFLICT` when keyring or members changed meanwhile: decide again.
   */
  commit(current: CurrentKeyring, transition: Transition, members?: number): Promise<void>
}

/** Whether those who decrypt have a keyring. */
export interface Membership {
  /** Holds every member against `keyring`, and only against exactly it. */
  check(keyring: Keyring): Promise<MemberCheck>
}

/** The answer of {@link Membership}. */
export interface MemberCheck {
  readonly members: readonly MemberState[]
  /** Identifies the set of members. */
  readonly revision: number | undefined
}

/** One member: a node whose plugin must have a key before anybody encrypts with it. */
export interface MemberState {
  readonly name: string
  /** Whether it has verified, stored and serves exactly the keyring asked about. */
  readonly ready: boolean
  /** Whether it is heard of now. */
  readonly alive: boolean
  /** What it has, for people; `undefined` when it has never said. */
  readonly generation: number | undefined
}

/** An API server that was reached, and is the one that it should be. */
export interface ApiServer {
  /** The name of its Lease, or its URL where it has none. */
  readonly id: string
  /** What people call it: its host name, or its URL. */
  readonly name: string
  readonly url: string
}

/** An API server that must be proved and was not reached. */
export interface MissingServer {
  readonly id: string
  readonly name: string
  /** Why, and what was tried; a sentence's end. */
  readonly reason: string
}

/** Finds API servers. */
export interface ServerDirectory {
  /** @throws `ERR_KUBERNETES_*` when nobody can be asked. */
  discover(signal: AbortSignal): Promise<{
    readonly servers: readonly ApiServer[]
    readonly missing: readonly MissingServer[]
  }>
}

/** How one resource is written by one API server. */
export interface CanaryFinding {
  /** Resource, as `secrets`. */
  readonly resource: string
  /** As `kms:v2:latchkey` or `identity`. */
  readonly provider: string
  /** Key id of the KMS provider, if it is one. */
  readonly keyId: string | undefined
}

/** Objects that are written through one API server and read from etcd as they lie there. */
export interface Canaries {
  /**
   * Writes through `server` and tells how it was stored, for each resource that it can write.
   *
   * @throws `ERR_KUBERNETES_*`, `ERR_ETCD_*`.
   */
  write(server: ApiServer, signal: AbortSignal): Promise<readonly CanaryFinding[]>
  /** Removes every canary, also those that an interrupted run has left. */
  remove(signal: AbortSignal): Promise<void>
}

/** Objects under one key. */
export interface KeyUse {
  readonly resource: string
  /** As `kms:v2:latchkey`. */
  readonly provider: string
  readonly keyId: string
  readonly objects: number
}

/** An etcd cluster that was read. A restored etcd is another, and its revisions begin anew. */
export interface ReadCluster {
  readonly id: string
  readonly revision: number
}

/** What one reading of all of etcd found. */
export interface StorageView {
  /** etcd's revision at which everything was read; the lowest, where there are several clusters. */
  readonly revision: number
  /** Every cluster, and the revision at which it was read. */
  readonly clusters: readonly ReadCluster[]
  readonly objects: number
  /** Every use of a key by a KMS provider. */
  readonly uses: readonly KeyUse[]
  /**
   * Objects under one of the keys asked about, by the name with which a person accepts them; at most
   * {@link maxNamed}. What lies outside the prefix is named by its etcd key.
   */
  readonly needing: readonly string[]
  /** How many those are. */
  readonly needingCount: number
  /** Objects that cannot be read at all, so that nobody can say which key they need. */
  readonly undecodable: number
  /** Objects of KMS v1 providers whose key cannot be told. */
  readonly unknownV1: number
}

/** Most objects that are named in one view. */
export const maxNamed = 1000

/** Reads etcd without any key. */
export interface Storage {
  scan(
    keyIds: ReadonlySet<string>,
    options: { readonly onProgress: (objects: number) => void; readonly signal: AbortSignal },
  ): Promise<StorageView>
}

/** An object that cannot be rewritten. */
export interface Stuck {
  /** As `secrets/NAMESPACE/NAME`. */
  readonly name: string
  readonly cause: string
  readonly remedy: string
}

/** How far a migration is. */
export interface MigrationProgress {
  readonly resource: string
  readonly done: number
  readonly total: number | undefined
  readonly etaSeconds: number | undefined
}

/** Rewrites objects through API servers. */
export interface Migrator {
  /** Rewrites every object of `resources` that is under one of `keyIds`. */
  migrate(
    what: { readonly resources: readonly string[]; readonly keyIds: ReadonlySet<string> },
    options: {
      readonly servers: readonly ApiServer[]
      readonly onProgress: (progress: MigrationProgress) => void
      readonly signal: AbortSignal
    },
  ): Promise<{ readonly rewritten: number; readonly stuck: readonly Stuck[] }>
}
