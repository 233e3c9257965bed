import sodium from 'libsodium-wrappers'
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

/**
 * Encrypts `plaintext` under `key`, bound to `associatedData`. The nonce is made here: callers
 * cannot choose one. Throws `TypeError` when the key was wiped, `RangeError` when it is not 32 bytes.
 */
export function sealFrame(
  plaintext: Uint8Array,
  options: {
    readonly key: SecretBytes
    readonly associatedData: Uint8Array
    readonly random: RandomBytes
  },
): Uint8Array {
  const key = exposeKey(options.key)
  const nonce = options.random(nonceBytes)
  const sealed = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
    plaintext,
    options.associatedData,
    null,
    nonce,
    key,
  )
  const frame = new Uint8Array(plaintext.byteLength + frameOverhead)
  frame[0] = frameVersion
  frame.set(nonce, 1)
  frame.set(sealed, 1 + nonceBytes)
  return frame
}

/**
 * Opens a frame. Everything that is wrong with it, short, altered, wrong key, wrong associated
 * data, is one opaque `ERR_CIPHERTEXT_INVALID` without a cause; only a version byte that this
 * release does not know is told apart, as `ERR_CIPHERTEXT_VERSION`. A key that was wiped or has
 * another size is the caller's mistake, as in {@link sealFrame}.
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
  // Outside the try: a wiped key is a mistake of ours and must not look like a bad ciphertext.
  const key = exposeKey(options.key)
  try {
    return SecretBytes.take(
      sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
        null,
        frame.subarray(1 + nonceBytes),
        options.associatedData,
        frame.subarray(1, 1 + nonceBytes),
        key,
      ),
    )
  } catch {
    throw invalid()
  }
}

function exposeKey(key: SecretBytes): Uint8Array {
  const bytes = key.expose()
  if (bytes.byteLength === frameKeyBytes) return bytes
  throw new RangeError(`a frame's key has ${frameKeyBytes} bytes`)
}

function invalid(): LatchkeyError {
  return new LatchkeyError('ERR_CIPHERTEXT_INVALID', 'ciphertext cannot be opened')
}
