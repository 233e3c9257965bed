import type { LineageMark } from './lineage.ts'

// PORT. Which nodes use a keyring that several share. A store for one node alone has no members.

/** A node's word that it serves a document: verified, kept on its own disk, every key tried, swapped in. */
export interface Acknowledgement {
  /** The plugin process that said so: 22 characters base64url, another after each start. */
  readonly bootId: string
  readonly generation: number
  /** `sha256:` digest of the document. */
  readonly digest: string
  /** RFC 3339, by the node's own clock. */
  readonly at: string
}

/** A node that has joined. It stays one, alive or not, until it is removed by a person. */
export interface Member {
  /** As the node was told, by default its host name. */
  readonly name: string
  /** RFC 3339, by the node's own clock. */
  readonly joinedAt: string
  /** Whether it has given a sign of life within the last seconds. */
  readonly alive: boolean
  readonly acknowledged: Acknowledgement | undefined
}

/** The members as they were at one moment. */
export interface MemberList {
  /** In order of their names. */
  readonly members: readonly Member[]
  /** The moment, for `KeyringStore.publish`, which then refuses when somebody has joined since. */
  readonly revision: number
}

/** What an administrator does with members. */
export interface KeyringMembers {
  /** Throws `ERR_MEMBER_INVALID` when a record is no record, and what the store's own reads throw. */
  list(): Promise<MemberList>

  /**
   * Takes a node out, for good: rotations no longer wait for it.
   *
   * @throws `ERR_MEMBER_NOT_FOUND`; `ERR_MEMBER_ALIVE` when it gives signs of life, since it would join
   * again; what the store's own writes throw.
   */
  remove(name: string): Promise<void>

  /** Calls `onChange` after anything of the list may have changed, until `signal` is aborted. */
  watch(onChange: () => void, signal: AbortSignal): Promise<void>
}

/** What a node tells of its own membership. */
export interface MembershipEvents {
  /** It is a member, with a sign of life; also after an outage. `rejoined`: its record had been removed. */
  readonly joined: (how: 'joined' | 'rejoined') => void
  /** The store has noted that this node serves `mark`. */
  readonly acknowledged: (mark: Pick<LineageMark, 'generation' | 'digest'>) => void
  /** It cannot be told, or is refused; it is tried again. */
  readonly problem: (error: unknown) => void
}

/** What a node does for its own membership. */
export interface KeyringMembership {
  readonly name: string
  readonly bootId: string
  /** Notes that this node serves `mark` from now on. Told to the store by {@link KeyringMembership.run}. */
  acknowledge(mark: Pick<LineageMark, 'generation' | 'digest'>): void
  /** Is a member, gives signs of life, and tells what is served, until `signal` is aborted. */
  run(signal: AbortSignal, events: MembershipEvents): Promise<void>
}

/** The members that have not acknowledged exactly the document with this digest. */
export function missingAcknowledgements(
  members: readonly Member[],
  digest: string,
): readonly Member[] {
  return members.filter(({ acknowledged }) => acknowledged?.digest !== digest)
}
