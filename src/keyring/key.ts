import type { SecretBytes } from '../base/secret.ts'
import { toBase64Url } from '../base/bytes.ts'
import type { RandomBytes } from '../base/random.ts'

/**
 * Life of a KEK, in order:
 *
 * - `staged`: every node can decrypt with it, none encrypts with it yet.
 * - `active`: exactly one; encrypts and decrypts.
 * - `superseded`: decrypts, and something in etcd may still need it.
 * - `retired`: declared unneeded; still decrypts, but each use is reported.
 * - `destroyed`: the material is gone, the id stays as a tombstone so that it is never given again.
 */
export type KeyState = (typeof keyStates)[number]

/** All states, in the order of a key's life. */
export const keyStates = ['staged', 'active', 'superseded', 'retired', 'destroyed'] as const

/** What is public about a KEK. */
export interface KeyInfo {
  /** The `key_id` of the KMS protocol: see {@link makeKeyId}. */
  readonly id: string
  /** Cluster whose ciphertexts this key opens; part of every envelope's associated data. */
  readonly clusterId: string
  readonly state: KeyState
  /** RFC 3339, whole seconds, UTC. */
  readonly createdAt: string
  /** When the key entered its present state; same form. */
  readonly changedAt: string
}

/** A KEK whose material is at hand. */
export interface LiveKey {
  readonly info: KeyInfo
  /** 32 bytes, owned by the keyring that lends them. */
  readonly material: SecretBytes
}

const keyIdPattern = /^lk1\.([1-9][0-9]{0,9})\.([A-Za-z0-9_-]{21}[AQgw])$/

/**
 * A fresh key id: `lk1.<generation>.<22 characters>`, the generation of the keyring in which the
 * key was born and 16 random bytes in base64url. Public, at most 37 bytes (the API server accepts
 * 1024, and stores one copy with every object), never reused (KEP-3299: a key id must not return
 * even if its KEK does).
 */
export function makeKeyId(generation: number, random: RandomBytes): string {
  return `lk1.${generation}.${toBase64Url(random(16))}`
}

/** The parts of a key id of our form, or `undefined` for any other text. */
export function parseKeyId(id: string): { readonly generation: number } | undefined {
  const match = keyIdPattern.exec(id)
  return match === null ? undefined : { generation: Number(match[1]) }
}
