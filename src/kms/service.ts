import { timingSafeEqual } from 'node:crypto'
import { LatchkeyError } from '../base/errors.ts'
import type { RandomBytes } from '../base/random.ts'
import type { SecretBytes } from '../base/secret.ts'
import {
  openEnvelope,
  openEnvelopeV1,
  sealEnvelope,
  sealEnvelopeV1,
  splitEnvelopeV1,
} from '../keyring/envelope.ts'
import { parseKeyId, type KeyInfo, type LiveKey } from '../keyring/key.ts'
import type { Keyring } from '../keyring/keyring.ts'
import type { Finding } from '../observe/health.ts'
import type { Snapshot } from './snapshot.ts'

// What the KMS service decides, as functions of a snapshot and a request.

/**
 * What Status says: `ok` unless something is failing, and the active key's id in any case, since a
 * missing one would stop the API server's writes after three minutes (KEP-3299).
 *
 * @throws `ERR_KEYRING_NOT_FOUND` when nothing is served.
 */
export function status(
  snapshot: Snapshot | undefined,
  findings: readonly Finding[],
): { readonly healthz: string; readonly keyId: string } {
  const { keyring } = served(snapshot)
  const failing = findings.filter(({ severity }) => severity === 'failing')
  const healthz = failing.length === 0 ? 'ok' : failing.map(({ reason }) => reason).join('; ')
  return { healthz, keyId: keyring.active.id }
}

/**
 * Wraps a seed under the active key, and opens the result before handing it out: what does not open
 * now never would.
 *
 * @throws `ERR_KEYRING_NOT_FOUND` when nothing is served, `ERR_KEY_UNUSABLE` when the active key
 * does not work, `ERR_PLAINTEXT_SIZE`.
 */
export function encrypt(
  snapshot: Snapshot | undefined,
  plaintext: Uint8Array,
  random: RandomBytes,
): { readonly ciphertext: Uint8Array; readonly keyId: string } {
  const key = activeKey(snapshot)
  const ciphertext = sealEnvelope(plaintext, { key, random })
  verify(plaintext, () => openEnvelope(ciphertext, { key }))
  return { ciphertext, keyId: key.info.id }
}

/**
 * Unwraps what {@link encrypt} made, with the key that `keyId` names and no other.
 *
 * @throws `ERR_ANNOTATION_UNKNOWN` for any annotation, since we make none; `ERR_KEY_UNKNOWN`,
 * `ERR_KEY_DESTROYED`, `ERR_CIPHERTEXT_INVALID`, `ERR_CIPHERTEXT_VERSION`, `ERR_KEYRING_NOT_FOUND`.
 */
export function decrypt(
  snapshot: Snapshot | undefined,
  request: {
    readonly ciphertext: Uint8Array
    readonly keyId: string
    readonly annotations: number
  },
): { readonly plaintext: SecretBytes; readonly key: KeyInfo } {
  const { keyring } = served(snapshot)
  if (request.annotations > 0) {
    throw new LatchkeyError('ERR_ANNOTATION_UNKNOWN', 'an annotation came that is not ours')
  }
  const key = keyring.live(request.keyId)
  return { plaintext: openEnvelope(request.ciphertext, { key }), key: key.info }
}

/** As {@link encrypt}, for KMS v1beta1. */
export function encryptV1(
  snapshot: Snapshot | undefined,
  plaintext: Uint8Array,
  random: RandomBytes,
): Uint8Array {
  const key = activeKey(snapshot)
  const ciphertext = sealEnvelopeV1(plaintext, { key, random })
  verify(plaintext, () => openEnvelopeV1(ciphertext, { key: () => key }))
  return ciphertext
}

/** As {@link decrypt}, for KMS v1beta1, where the key id is inside the ciphertext. */
export function decryptV1(
  snapshot: Snapshot | undefined,
  ciphertext: Uint8Array,
): { readonly plaintext: SecretBytes; readonly key: KeyInfo } {
  const { keyring } = served(snapshot)
  const key = keyring.live(splitEnvelopeV1(ciphertext).keyId)
  return { plaintext: openEnvelopeV1(ciphertext, { key: () => key }), key: key.info }
}

/**
 * What an unknown key id tells: an id of another form was never ours; one of our form was made by
 * another keyring; and one that was born in a generation above ours says that ours may have been
 * rolled back.
 */
export const unknownKeyKinds = ['foreign-form', 'another-keyring', 'newer-generation'] as const

/** One of {@link unknownKeyKinds}. */
export type UnknownKeyKind = (typeof unknownKeyKinds)[number]

/** Judges a key id that `keyring` does not know. */
export function judgeUnknownKey(
  keyId: string,
  keyring: Pick<Keyring, 'generation'>,
): UnknownKeyKind {
  const parsed = parseKeyId(keyId)
  if (parsed === undefined) return 'foreign-form'
  return parsed.generation > keyring.generation ? 'newer-generation' : 'another-keyring'
}

function served(snapshot: Snapshot | undefined): Snapshot {
  if (snapshot !== undefined) return snapshot
  throw new LatchkeyError('ERR_KEYRING_NOT_FOUND', 'no keyring is loaded')
}

function activeKey(snapshot: Snapshot | undefined): LiveKey {
  const { keyring, unusable } = served(snapshot)
  const { id } = keyring.active
  if (unusable.has(id)) throw unusableKey()
  return keyring.live(id)
}

function verify(plaintext: Uint8Array, open: () => SecretBytes): void {
  try {
    using opened = open()
    const back = opened.expose()
    if (back.byteLength === plaintext.byteLength && timingSafeEqual(back, plaintext)) return
  } catch (error) {
    throw unusableKey(error)
  }
  throw unusableKey()
}

function unusableKey(cause?: unknown): LatchkeyError {
  return new LatchkeyError('ERR_KEY_UNUSABLE', 'the active key does not work', {
    hint: 'restart the plugin; if that does not help, test the memory of this machine',
    cause,
  })
}
