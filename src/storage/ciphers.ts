import { createDecipheriv, createHmac } from 'node:crypto'
import sodium from 'libsodium-wrappers'
import { LatchkeyError } from '../base/errors.ts'
import { SecretBytes } from '../base/secret.ts'
import { looksSerialised } from './stored-value.ts'

await sodium.ready

// Each returns the plaintext only when it is authentic, as far as the provider can tell at all, and
// says of everything that is wrong one opaque ERR_CIPHERTEXT_INVALID. Keys stay the caller's.

const [gcmNonceBytes, gcmTagBytes, infoBytes, minSeedBytes] = [12, 16, 32, 32]
const [secretboxNonceBytes, blockBytes] = [24, 16]

/** `nonce (12) ‖ ciphertext ‖ tag (16)`, bound to the etcd key (value/encrypt/aes/aes.go). */
export function openAesGcm(
  data: Uint8Array,
  { key, etcdKey }: { readonly key: Uint8Array; readonly etcdKey: string },
): SecretBytes {
  const name = `aes-${key.byteLength * 8}-gcm` as const
  if (data.byteLength < gcmNonceBytes + gcmTagBytes || !isAesKey(key)) throw invalid()
  const decipher = createDecipheriv(name as 'aes-256-gcm', key, data.subarray(0, gcmNonceBytes), {
    authTagLength: gcmTagBytes,
  })
  decipher.setAAD(Buffer.from(etcdKey, 'utf8'))
  decipher.setAuthTag(data.subarray(-gcmTagBytes))
  const plaintext = decipher.update(data.subarray(gcmNonceBytes, -gcmTagBytes))
  try {
    decipher.final()
  } catch {
    plaintext.fill(0)
    throw invalid()
  }
  return SecretBytes.take(plaintext)
}

/**
 * `info (32) ‖ nonce ‖ ciphertext ‖ tag`, where info and seed give the object's own key by HKDF-Expand
 * with SHA-256 (RFC 5869 §2.3, one block; value/encrypt/aes/aes_extended_nonce.go).
 */
export function openSeededAesGcm(
  data: Uint8Array,
  { seed, etcdKey }: { readonly seed: Uint8Array; readonly etcdKey: string },
): SecretBytes {
  if (data.byteLength < infoBytes || seed.byteLength < minSeedBytes) throw invalid()
  const info = data.subarray(0, infoBytes)
  const key = createHmac('sha256', seed).update(info).update(Uint8Array.of(1)).digest()
  try {
    return openAesGcm(data.subarray(infoBytes), { key, etcdKey })
  } finally {
    key.fill(0)
  }
}

/**
 * `iv (16) ‖ ciphertext`, padded as PKCS #7. There is no tag: whoever can write to etcd can alter
 * what comes out, so it must at least look like an object.
 */
export function openAesCbc(data: Uint8Array, { key }: { readonly key: Uint8Array }): SecretBytes {
  if (data.byteLength < 2 * blockBytes || !isAesKey(key)) throw invalid()
  const iv = data.subarray(0, blockBytes)
  const decipher = createDecipheriv(`aes-${key.byteLength * 8}-cbc`, key, iv)
  const head = decipher.update(data.subarray(blockBytes))
  try {
    const tail = decipher.final()
    const plaintext = Buffer.alloc(head.byteLength + tail.byteLength)
    plaintext.set(head)
    plaintext.set(tail, head.byteLength)
    tail.fill(0)
    if (looksSerialised(plaintext)) return SecretBytes.take(plaintext)
    plaintext.fill(0)
  } catch {
    // The same error as for what looks like no object.
  } finally {
    head.fill(0)
  }
  throw invalid()
}

/** `nonce (24) ‖ NaCl secretbox`; authentic, but bound to no etcd key (value/encrypt/secretbox). */
export function openSecretbox(
  data: Uint8Array,
  { key }: { readonly key: Uint8Array },
): SecretBytes {
  if (data.byteLength < secretboxNonceBytes + sodium.crypto_secretbox_MACBYTES) throw invalid()
  try {
    const nonce = data.subarray(0, secretboxNonceBytes)
    const sealed = data.subarray(secretboxNonceBytes)
    return SecretBytes.take(sodium.crypto_secretbox_open_easy(sealed, nonce, key))
  } catch {
    throw invalid()
  }
}

function isAesKey(key: Uint8Array): boolean {
  return [16, 24, 32].includes(key.byteLength)
}

function invalid(): LatchkeyError {
  return new LatchkeyError('ERR_CIPHERTEXT_INVALID', 'the stored value cannot be opened')
}
