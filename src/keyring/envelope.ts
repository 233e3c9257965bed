import { concat, fromUtf8, lengthPrefixed, utf8 } from '../base/bytes.ts'
import { LatchkeyError } from '../base/errors.ts'
import { frameOverhead, openFrame, sealFrame } from '../base/frame.ts'
import type { RandomBytes } from '../base/random.ts'
import type { SecretBytes } from '../base/secret.ts'
import { parseKeyId, type LiveKey } from './key.ts'

/**
 * Largest plaintext, in bytes, that a KMS v2 envelope takes: the API server refuses ciphertexts of
 * more than 1024 bytes (kmsv2/envelope.go, `encryptedDEKSourceMaxSize`) and always sends 32.
 */
export const maxPlaintextBytes = 1024 - frameOverhead

/**
 * Largest plaintext for KMS v1, which puts no bound of its own on ciphertexts; the API server sends
 * data encryption keys of 32 bytes and a short health probe.
 */
export const maxPlaintextV1Bytes = 4096

const v1Version = 0x01
const bindingV2 = binding('latchkey/envelope')
const bindingV1 = binding('latchkey/envelope-v1beta1')

/**
 * Wraps a DEK seed for KMS v2. Layout: one AEAD frame (`base/frame.ts`), nothing else, since every
 * object in etcd carries a copy. Bound to purpose, format version, cluster id and key id.
 *
 * @throws `ERR_PLAINTEXT_SIZE` for an empty plaintext or one above {@link maxPlaintextBytes}.
 */
export function sealEnvelope(
  plaintext: Uint8Array,
  options: { readonly key: LiveKey; readonly random: RandomBytes },
): Uint8Array {
  checkSize(plaintext, maxPlaintextBytes)
  return sealFrame(plaintext, {
    key: options.key.material,
    associatedData: bindingV2(options.key),
    random: options.random,
  })
}

/**
 * Inverse of {@link sealEnvelope}.
 *
 * @throws `ERR_CIPHERTEXT_INVALID`, opaque, for anything that this key did not seal as this;
 * `ERR_CIPHERTEXT_VERSION` for a version byte of a later release.
 */
export function openEnvelope(
  ciphertext: Uint8Array,
  options: { readonly key: LiveKey },
): SecretBytes {
  if (ciphertext.byteLength > maxPlaintextBytes + frameOverhead) throw invalid()
  return openFrame(ciphertext, {
    key: options.key.material,
    associatedData: bindingV2(options.key),
  })
}

/**
 * Wraps for KMS v1beta1, whose responses have no key id of their own, so it travels inside:
 * `0x01 ‖ length of key id (1 byte) ‖ key id ‖ frame`.
 *
 * @throws `ERR_PLAINTEXT_SIZE`.
 */
export function sealEnvelopeV1(
  plaintext: Uint8Array,
  options: { readonly key: LiveKey; readonly random: RandomBytes },
): Uint8Array {
  checkSize(plaintext, maxPlaintextV1Bytes)
  const keyId = utf8(options.key.info.id)
  const frame = sealFrame(plaintext, {
    key: options.key.material,
    associatedData: bindingV1(options.key),
    random: options.random,
  })
  return concat([Uint8Array.of(v1Version, keyId.byteLength), keyId, frame])
}

/**
 * The key id inside a KMS v1beta1 ciphertext, and the frame behind it.
 *
 * @throws `ERR_CIPHERTEXT_INVALID`, `ERR_CIPHERTEXT_VERSION`.
 */
export function splitEnvelopeV1(ciphertext: Uint8Array): {
  readonly keyId: string
  readonly frame: Uint8Array
} {
  const [version, length] = ciphertext
  if (version !== undefined && version !== v1Version) {
    throw new LatchkeyError('ERR_CIPHERTEXT_VERSION', 'ciphertext has an unknown format version')
  }
  const keyId = length === undefined ? undefined : fromUtf8(ciphertext.subarray(2, 2 + length))
  if (length === undefined || keyId === undefined || parseKeyId(keyId) === undefined) {
    throw invalid()
  }
  return { keyId, frame: ciphertext.subarray(2 + length) }
}

/**
 * Inverse of {@link sealEnvelopeV1}; `key` looks a key up by the id that travels inside, and its
 * errors (`ERR_KEY_UNKNOWN`, `ERR_KEY_DESTROYED`) pass through.
 *
 * @throws `ERR_CIPHERTEXT_INVALID`, `ERR_CIPHERTEXT_VERSION`.
 */
export function openEnvelopeV1(
  ciphertext: Uint8Array,
  options: { readonly key: (keyId: string) => LiveKey },
): SecretBytes {
  const { keyId, frame } = splitEnvelopeV1(ciphertext)
  if (frame.byteLength > maxPlaintextV1Bytes + frameOverhead) throw invalid()
  const key = options.key(keyId)
  return openFrame(frame, {
    key: key.material,
    associatedData: bindingV1(key),
  })
}

/** Associated data for `purpose`, made once for each key: making it costs more than the encryption. */
function binding(purpose: string): (key: LiveKey) => Uint8Array {
  const made = new WeakMap<LiveKey['info'], Uint8Array>()
  return ({ info }) => {
    const known = made.get(info)
    if (known !== undefined) return known
    const fresh = lengthPrefixed([purpose, '1', info.clusterId, info.id])
    made.set(info, fresh)
    return fresh
  }
}

function checkSize(plaintext: Uint8Array, maxBytes: number): void {
  if (plaintext.byteLength >= 1 && plaintext.byteLength <= maxBytes) return
  throw new LatchkeyError(
    'ERR_PLAINTEXT_SIZE',
    `plaintext has ${plaintext.byteLength} bytes, expected 1 to ${maxBytes}`,
  )
}

function invalid(): LatchkeyError {
  return new LatchkeyError('ERR_CIPHERTEXT_INVALID', 'ciphertext cannot be opened')
}
