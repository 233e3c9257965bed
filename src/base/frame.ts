import sodium from 'libsodium-wrappers'
import { concat } from './bytes.ts'
import { LatchkeyError } from './errors.ts'
import type { RandomBytes } from './random.ts'
import { SecretBytes } from './secret.ts'

await sodium.ready

/**
 * The AEAD frame, used wherever Latchkey encrypts bytes:
 *
 * ```
 * 0x01 ‖ nonce (24 bytes) ‖ XChaCha20-Poly1305-IETF(plaintext) with its 16-byte tag
 * ```
 *
 * 192-bit nonces are drawn at random: 2^64 frames under one key leave a collision chance below
 * 2^-64, so no counter has to survive a crash (draft-irtf-cfrg-xchacha §3.1).
 */
export const frameVersion = 0x01
/** Bytes that a frame adds to its plaintext. */
export const frameOverhead = 1 + 24 + 16
/** Key size in bytes. */
export const frameKeyBytes = 32

const nonceBytes = 24

/** Encrypts `plaintext` under `key`, bound to `associatedData`. The nonce is made here: callers cannot choose one. */
export function sealFrame(
  plaintext: Uint8Array,
  options: {
    readonly key: SecretBytes
    readonly associatedData: Uint8Array
    readonly random: RandomBytes
  },
): Uint8Array {
  const nonce = options.random(nonceBytes)
  const sealed = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
    plaintext,
    options.associatedData,
    null,
    nonce,
    options.key.expose(),
  )
  return concat([Uint8Array.of(frameVersion), nonce, sealed])
}

/**
 * Opens a frame. Everything that is wrong with it, short, altered, wrong key, wrong associated
 * data, is one opaque `ERR_CIPHERTEXT_INVALID` without a cause; only a version byte that this
 * release does not know is told apart, as `ERR_CIPHERTEXT_VERSION`.
 */
export function openFrame(
  frame: Uint8Array,
  options: { readonly key: SecretBytes; readonly associatedData: Uint8Array },
): SecretBytes {
  const version = frame[0]
  if (version !== undefined && version !== frameVersion) {
    throw new LatchkeyError('ERR_CIPHERTEXT_VERSION', 'ciphertext has an unknown format version')
  }
  if (frame.byteLength < frameOverhead) throw invalid()
  try {
    return SecretBytes.take(
      sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
        null,
        frame.subarray(1 + nonceBytes),
        options.associatedData,
        frame.subarray(1, 1 + nonceBytes),
        options.key.expose(),
      ),
    )
  } catch {
    throw invalid()
  }
}

function invalid(): LatchkeyError {
  return new LatchkeyError('ERR_CIPHERTEXT_INVALID', 'ciphertext cannot be opened')
}
