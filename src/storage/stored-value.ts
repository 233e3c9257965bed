import { fromUtf8 } from '../base/bytes.ts'
import { isLatchkeyError } from '../base/errors.ts'
import { readEncryptedObject, type EncryptedObject } from './encrypted-object.ts'

/** The providers whose values carry a key's name and then their own bytes. */
export type LocalProvider = 'secretbox' | 'aesgcm' | 'aescbc'

/** Why a value cannot be what an API server wrote. */
export type UndecodableReason =
  /** Encrypted by a provider that Kubernetes does not have. */
  | 'unknown-provider'
  /** Begins as an encrypted value does, and goes on otherwise. */
  | 'malformed'
  /** Not encrypted, and neither protobuf nor JSON nor CBOR of an API server. */
  | 'unrecognised'

/**
 * What a value in etcd is, as far as it shows without a key. Byte fields are views of the value.
 * `provider` names the provider as it stands in the value: `kms:v2:NAME`, `secretbox:v1:KEY`,
 * `identity`.
 */
export type StoredValue =
  | {
      readonly kind: 'kms-v2'
      readonly provider: string
      readonly keyId: string
      readonly object: EncryptedObject
    }
  | {
      readonly kind: 'kms-v1'
      readonly provider: string
      /** Only ciphertexts of Latchkey carry their key id. */
      readonly keyId?: string
      readonly encryptedDek: Uint8Array
      readonly encryptedData: Uint8Array
    }
  | {
      readonly kind: LocalProvider
      readonly provider: string
      /** Up to its first colon; see {@link dataUnder}. */
      readonly keyName: string
      readonly encryptedData: Uint8Array
    }
  | { readonly kind: 'identity'; readonly provider: 'identity'; readonly data: Uint8Array }
  | {
      readonly kind: 'undecodable'
      /** As far as it can be told; else `unknown`. */
      readonly provider: string
      readonly reason: UndecodableReason
    }

const encryptedPrefix = 'k8s:enc:'
/** The longest `KIND:vN:NAME:` that is looked for: names of providers and keys are short. */
const maxHeadBytes = 1024

/** Reads the value of an etcd key. Needs no key, never throws. */
export function readStoredValue(value: Uint8Array): StoredValue {
  if (!startsWith(value, encryptedPrefix)) return readPlain(value)
  const head = readHead(value)
  if (head === undefined) {
    return { kind: 'undecodable', provider: 'unknown', reason: 'unknown-provider' }
  }
  const { scheme, name, rest } = head
  const provider = `${scheme}:${name}`
  try {
    switch (scheme) {
      case 'kms:v2': {
        const object = readEncryptedObject(rest)
        return { kind: 'kms-v2', provider, keyId: object.keyId, object }
      }
      case 'kms:v1':
        return readKmsV1(provider, rest)
      case 'secretbox:v1':
      case 'aesgcm:v1':
      case 'aescbc:v1': {
        const kind = scheme.slice(0, -3) as LocalProvider
        if (rest.byteLength < shortest[kind]) break
        return { kind, provider, keyName: name, encryptedData: rest }
      }
      default:
        return { kind: 'undecodable', provider, reason: 'unknown-provider' }
    }
  } catch (error) {
    if (!isLatchkeyError(error, 'ERR_MESSAGE_INVALID')) throw error
  }
  return { kind: 'undecodable', provider, reason: 'malformed' }
}

/** A value of a local provider. */
export type LocalValue = Extract<StoredValue, { readonly keyName: string }>

/**
 * What a value holds if the key that encrypted it has this name; `undefined` when it has another. A name
 * may have colons in it, which nothing in the value tells from the one behind the name.
 */
export function dataUnder(
  { keyName, encryptedData }: LocalValue,
  name: string,
): Uint8Array | undefined {
  if (name === keyName) return encryptedData
  if (!name.startsWith(`${keyName}:`)) return undefined
  const rest = Buffer.from(`${name.slice(keyName.length + 1)}:`, 'utf8')
  return rest.equals(encryptedData.subarray(0, rest.byteLength))
    ? encryptedData.subarray(rest.byteLength)
    : undefined
}

/** Nonce and tag, nonce and tag, initialisation vector and one block. */
const shortest: Readonly<Record<LocalProvider, number>> = { secretbox: 40, aesgcm: 28, aescbc: 32 }

/** Protobuf, JSON, and the self-described CBOR tag, which are all that API servers write (runtime/serializer). */
const plainPrefixes: readonly string[] = ['k8s\0', '{', '\xd9\xd9\xf7']

/** Whether `data` begins as an object does that an API server has serialised. */
export function looksSerialised(data: Uint8Array): boolean {
  return plainPrefixes.some((prefix) => startsWith(data, prefix))
}

function readPlain(value: Uint8Array): StoredValue {
  if (looksSerialised(value)) return { kind: 'identity', provider: 'identity', data: value }
  return { kind: 'undecodable', provider: 'identity', reason: 'unrecognised' }
}

/** `k8s:enc:KIND:vN:NAME:` and what follows. */
function readHead(
  value: Uint8Array,
): { readonly scheme: string; readonly name: string; readonly rest: Uint8Array } | undefined {
  const head = value.subarray(0, maxHeadBytes)
  let end = encryptedPrefix.length - 1
  for (let colons = 0; colons < 3; colons += 1) {
    end = head.indexOf(0x3a, end + 1)
    if (end < 0) return undefined
  }
  const parts = fromUtf8(head.subarray(encryptedPrefix.length, end))?.split(':')
  const [kind = '', version = '', name = ''] = parts ?? []
  // What goes into reports and onto terminals is printable.
  if (kind === '' || version === '' || name === '' || /\p{C}/u.test(`${kind}${version}${name}`)) {
    return undefined
  }
  return { scheme: `${kind}:${version}`, name, rest: value.subarray(end + 1) }
}

/** Length of the wrapped key (uint16, big endian), the wrapped key, the data (envelope/envelope.go). */
function readKmsV1(provider: string, rest: Uint8Array): StoredValue {
  const [high = 0, low = 0] = rest
  const end = 2 + high * 256 + low
  if (end === 2 || rest.byteLength <= end) {
    return { kind: 'undecodable', provider, reason: 'malformed' }
  }
  const encryptedDek = rest.subarray(2, end)
  const keyId = keyIdInside(encryptedDek)
  return {
    kind: 'kms-v1',
    provider,
    ...(keyId === undefined ? {} : { keyId }),
    encryptedDek,
    encryptedData: rest.subarray(end),
  }
}

/**
 * The key id inside a KMS v1 ciphertext of Latchkey, `0x01 ‖ length ‖ key id ‖ …` (keyring/FORMAT.md);
 * `undefined` for another plugin's.
 */
function keyIdInside(ciphertext: Uint8Array): string | undefined {
  const [version, length = 0] = ciphertext
  if (version !== 1) return undefined
  const id = fromUtf8(ciphertext.subarray(2, 2 + length))
  return id !== undefined && /^lk1\.[1-9][0-9]{0,9}\.[A-Za-z0-9_-]{22}$/.test(id) ? id : undefined
}

function startsWith(bytes: Uint8Array, latin1: string): boolean {
  if (bytes.byteLength < latin1.length) return false
  for (let index = 0; index < latin1.length; index += 1) {
    if (bytes[index] !== latin1.charCodeAt(index)) return false
  }
  return true
}
