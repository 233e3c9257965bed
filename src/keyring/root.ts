import type { SecretBytes } from '../base/secret.ts'

/** What a root leaves in a keyring's slot: public parameters and the wrapped keyring key. */
export interface WrappedByRoot {
  /** Salt, costs, or the name of a remote key: whatever unwrapping needs besides the root itself. */
  readonly params: SlotParams
  readonly wrapped: Uint8Array
}

/** Slot parameters: a flat record, names `[a-z][A-Za-z0-9]*`, text values printable ASCII. */
export type SlotParams = Readonly<Record<string, string | number>>

/**
 * PORT. A root key: what stands at the top of the hierarchy and wraps a keyring's own key.
 * Implementations live in `roots/`.
 */
export interface RootKey {
  /** Slot type that this root fills: `file`, `passphrase`, …; pattern `[a-z][a-z0-9-]{0,31}`. */
  readonly type: string

  /**
   * Wraps `secret`, bound to `context`, which names keyring and slot.
   *
   * @throws `ERR_ROOT_UNAVAILABLE` when the root cannot be asked now; may be retried.
   */
  wrap(secret: SecretBytes, context: Uint8Array): Promise<WrappedByRoot>

  /**
   * Unwraps what {@link RootKey.wrap} made with the same context. Returns `undefined` when the slot
   * was not made by this root, or was altered: the two look the same to an AEAD.
   *
   * @throws `ERR_ROOT_INVALID` when the slot's parameters are out of bounds;
   * `ERR_ROOT_UNAVAILABLE` when the root cannot be asked now.
   */
  unwrap(slot: WrappedByRoot, context: Uint8Array): Promise<SecretBytes | undefined>
}

/** A root that was made to be given away in parts: shares, of which some number joins it again. */
export interface SplitRoot {
  readonly root: RootKey
  /** What all shares of it have in common: 16 hexadecimal digits. */
  readonly group: string
  /** Each share as the text of its file. Whoever made them disposes of them. */
  readonly shares: readonly { readonly index: number; readonly text: SecretBytes }[]
}

/** What is found of one share that is held against a slot. */
export interface ShareFinding {
  /** Where it came from: a path, or the standard input. */
  readonly source: string
  readonly index: number
  readonly group: string
  /**
   * `good`: of this slot and unaltered; `repeated`: as good, and given already; `foreign`: of another
   * group; `wrong`: of this group, and not as it was handed out.
   */
  readonly state: 'good' | 'repeated' | 'foreign' | 'wrong'
}

/** A root that is joined from shares. It opens slots and makes none. */
export interface JoinedRoot extends RootKey {
  /**
   * Holds each share against a slot, without joining them.
   *
   * @throws `ERR_ROOT_INVALID` when the slot's parameters are out of bounds.
   */
  inspect(slot: WrappedByRoot): readonly ShareFinding[]
}
