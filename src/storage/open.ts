import { createHash } from 'node:crypto'
import { lengthPrefixed, toBase64Url } from '../base/bytes.ts'
import { isLatchkeyError, LatchkeyError } from '../base/errors.ts'
import { SecretBytes } from '../base/secret.ts'
import { openAesCbc, openAesGcm, openSecretbox, openSeededAesGcm } from './ciphers.ts'
import type { EncryptedObject } from './encrypted-object.ts'
import type { LocalKey } from './encryption-config.ts'
import { dataUnder, type LocalValue, type StoredValue } from './stored-value.ts'

/** PORT. What a KMS plugin does when an API server asks it to decrypt. */
export interface Unwrapper {
  /**
   * The seed or key inside a KMS v2 ciphertext, for the caller to dispose of.
   *
   * @throws `ERR_KEY_UNKNOWN`, `ERR_KEY_DESTROYED`, `ERR_ANNOTATION_UNKNOWN`,
   * `ERR_CIPHERTEXT_INVALID`, `ERR_CIPHERTEXT_VERSION`.
   */
  v2(source: Pick<EncryptedObject, 'keyId' | 'encryptedDekSource' | 'annotations'>): SecretBytes
  /** The same of a KMS v1 ciphertext. */
  v1(ciphertext: Uint8Array): SecretBytes
}

/** What opens stored values. */
export interface StoredKeys {
  /** Without one, what a KMS provider encrypted stays closed. */
  readonly kms?: Unwrapper
  /** Keys of an EncryptionConfiguration; they stay its own. */
  readonly local?: readonly LocalKey[]
}

/** Opens stored values. Disposing of it wipes the seeds that it remembers. */
export interface StoredValueOpener extends Disposable {
  /**
   * What the API server gave to be stored under `etcdKey`: a serialised object. The caller disposes
   * of it.
   *
   * @throws `ERR_STORED_KEY_MISSING` when the key of another provider is not at hand;
   * `ERR_STORED_MALFORMED` for what no API server writes; `ERR_CIPHERTEXT_INVALID`, opaque, for
   * everything that is wrong inside; what the unwrapper throws.
   */
  open(etcdKey: string, value: StoredValue): SecretBytes
}

/** Objects share seeds, one for each start of an API server and each key; API servers keep them all. */
const maxSeeds = 1024

/** An opener with the keys given. */
export function storedValueOpener(keys: StoredKeys): StoredValueOpener {
  const seeds = new Map<string, SecretBytes>()
  const seedOf = (object: EncryptedObject): SecretBytes => {
    const { kms } = keys
    if (kms === undefined) throw missing('a KMS provider')
    const id = seedId(object)
    const known = seeds.get(id)
    if (known !== undefined) return known
    const seed = kms.v2(object)
    for (const [oldest, former] of seeds) {
      if (seeds.size < maxSeeds) break
      former[Symbol.dispose]()
      seeds.delete(oldest)
    }
    seeds.set(id, seed)
    return seed
  }
  return {
    open: (etcdKey, value) => {
      switch (value.kind) {
        case 'identity':
          return SecretBytes.copyOf(value.data)
        case 'undecodable':
          throw new LatchkeyError('ERR_STORED_MALFORMED', `the stored value is ${value.reason}`)
        case 'kms-v2': {
          const { encryptedData, dekSourceType } = value.object
          const seed = seedOf(value.object).expose()
          return dekSourceType === 'aes-gcm'
            ? openAesGcm(encryptedData, { key: seed, etcdKey })
            : openSeededAesGcm(encryptedData, { seed, etcdKey })
        }
        case 'kms-v1': {
          if (keys.kms === undefined) throw missing('a KMS provider')
          using key = keys.kms.v1(value.encryptedDek)
          return openKmsV1(value.encryptedData, { key: key.expose(), etcdKey })
        }
        case 'secretbox':
        case 'aesgcm':
        case 'aescbc':
          return openLocal(value, { etcdKey, keys: keys.local ?? [] })
      }
    },
    [Symbol.dispose]: () => {
      for (const seed of seeds.values()) seed[Symbol.dispose]()
      seeds.clear()
    },
  }
}

function seedId({ keyId, encryptedDekSource, annotations }: EncryptedObject): string {
  const parts = [...annotations].flatMap(([name, bytes]) => [name, bytes])
  const id = lengthPrefixed([keyId, encryptedDekSource, ...parts])
  return toBase64Url(createHash('sha256').update(id).digest())
}

/** Written with AES-GCM since Kubernetes 1.25, and with AES-CBC before (`unionTransformers` in encryptionconfig/config.go). */
function openKmsV1(
  data: Uint8Array,
  { key, etcdKey }: { readonly key: Uint8Array; readonly etcdKey: string },
): SecretBytes {
  try {
    return openAesGcm(data, { key, etcdKey })
  } catch (error) {
    if (!isLatchkeyError(error, 'ERR_CIPHERTEXT_INVALID')) throw error
    return openAesCbc(data, { key })
  }
}

function openLocal(
  value: LocalValue,
  { etcdKey, keys }: { readonly etcdKey: string; readonly keys: readonly LocalKey[] },
): SecretBytes {
  const fitting = keys.flatMap(({ kind, name, secret }) => {
    const data = kind === value.kind ? dataUnder(value, name) : undefined
    return data === undefined ? [] : [{ data, secret }]
  })
  if (fitting.length === 0) throw missing(`the ${value.kind} provider`)
  let refused: unknown
  // A key's name may stand in the configuration with one secret for each entry.
  for (const { data, secret } of fitting) {
    const key = secret.expose()
    try {
      switch (value.kind) {
        case 'secretbox':
          return openSecretbox(data, { key })
        case 'aesgcm':
          return openAesGcm(data, { key, etcdKey })
        case 'aescbc':
          return openAesCbc(data, { key })
      }
    } catch (error) {
      refused = error
    }
  }
  throw refused
}

function missing(provider: string): LatchkeyError {
  return new LatchkeyError(
    'ERR_STORED_KEY_MISSING',
    `the key of ${provider} that encrypted the stored value is not at hand`,
    {
      hint: "name the keyring or its backup, and for other providers than KMS the API servers' --encryption-config",
    },
  )
}
