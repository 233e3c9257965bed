import { LatchkeyError } from '../base/errors.ts'
import { SecretBytes } from '../base/secret.ts'
import { splitResourceName } from './resource.ts'
import type { LocalProvider } from './stored-value.ts'

/** A key that an EncryptionConfiguration holds itself. */
export interface LocalKey {
  readonly kind: LocalProvider
  readonly name: string
  /** 32 bytes for secretbox; 16, 24 or 32 for AES. Owned by the configuration. */
  readonly secret: SecretBytes
}

/** What an EncryptionConfiguration says about the objects in etcd. Disposing of it wipes its keys. */
export interface EncryptionConfig extends Disposable {
  /**
   * The provider, as it stands in stored values, that API servers write a resource with: the first
   * of its first entry. `undefined` for a resource that no entry names: it is written as it is.
   */
  writerOf(resource: { readonly group: string; readonly plural: string }): string | undefined
  /** Keys of all entries, in their order. */
  readonly keys: readonly LocalKey[]
}

type Fields = Readonly<Record<string, unknown>>

/**
 * Reads an EncryptionConfiguration that was parsed from its YAML. The API server's own rules beyond
 * what is needed here are left to the API server and to `latchkey doctor`.
 *
 * @throws `ERR_CONFIG_INVALID`, naming the field.
 */
export function parseEncryptionConfig(document: unknown): EncryptionConfig {
  const root = fieldsOf(document, 'the file')
  if (
    root['kind'] !== 'EncryptionConfiguration' ||
    root['apiVersion'] !== 'apiserver.config.k8s.io/v1'
  ) {
    throw invalid('the file is not an EncryptionConfiguration of apiserver.config.k8s.io/v1')
  }
  const writers = new Map<string, string>()
  const keys: LocalKey[] = []
  try {
    for (const [index, entry] of listOf(root['resources'], 'resources').entries()) {
      const at = `resources[${index}]`
      const { providers, resources } = fieldsOf(entry, at)
      const parsed = listOf(providers, `${at}.providers`).map((provider, number) =>
        readProvider(provider, { at: `${at}.providers[${number}]`, keys }),
      )
      for (const resource of listOf(resources, `${at}.resources`)) {
        if (typeof resource !== 'string') throw invalid(`${at}.resources holds no name`)
        const id = idOf(resource)
        const [writer] = parsed
        if (writer === undefined) throw invalid(`${at}.providers is empty`)
        // A resource of two entries is written by the first (encryptionconfig/config.go).
        if (!writers.has(id)) writers.set(id, writer)
      }
    }
  } catch (error) {
    wipe(keys)
    throw error
  }
  return {
    writerOf: ({ group, plural }) =>
      writers.get(`${plural}.${group}`) ?? writers.get(`*.${group}`) ?? writers.get('*.*'),
    keys,
    [Symbol.dispose]: () => {
      wipe(keys)
    },
  }
}

/** `PLURAL.GROUP`, as wildcards are written: `*.`, `*.apps`, `*.*`. */
function idOf(resource: string): string {
  if (resource.startsWith('*.')) return resource
  const { group, plural } = splitResourceName(resource)
  // Unlike on the command line, a name without a group is a core resource and no other.
  return `${plural}.${resource.includes('.') ? group : ''}`
}

function readProvider(
  value: unknown,
  { at, keys }: { readonly at: string; readonly keys: LocalKey[] },
): string {
  const entries = Object.entries(fieldsOf(value, at)).filter(([, found]) => found !== undefined)
  const [first] = entries
  if (first === undefined || entries.length > 1) throw invalid(`${at} must name one provider`)
  const [kind, found] = first
  const place = `${at}.${kind}`
  switch (kind) {
    case 'identity':
      return 'identity'
    case 'kms': {
      const { apiVersion = 'v1', name } = fieldsOf(found, place)
      if (typeof name !== 'string' || name === '') throw invalid(`${place}.name is missing`)
      if (apiVersion !== 'v1' && apiVersion !== 'v2') {
        throw invalid(`${place}.apiVersion is neither v1 nor v2`)
      }
      return `kms:${apiVersion}:${name}`
    }
    case 'secretbox':
    case 'aesgcm':
    case 'aescbc': {
      const listed = listOf(fieldsOf(found, place)['keys'], `${place}.keys`)
      const named = listed.map((key, index) => readKey(kind, key, `${place}.keys[${index}]`))
      keys.push(...named)
      const [writer] = named
      if (writer === undefined) throw invalid(`${place}.keys is empty`)
      return `${kind}:v1:${writer.name}`
    }
    default:
      throw invalid(`${at} names a provider that Kubernetes does not have`)
  }
}

const keySizes: Readonly<Record<LocalProvider, readonly number[]>> = {
  secretbox: [32],
  aesgcm: [16, 24, 32],
  aescbc: [16, 24, 32],
}

function readKey(kind: LocalProvider, value: unknown, at: string): LocalKey {
  const { name, secret } = fieldsOf(value, at)
  if (typeof name !== 'string' || name === '') throw invalid(`${at}.name is missing`)
  if (typeof secret !== 'string' || !/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(secret)) {
    throw invalid(`${at}.secret is not base64`)
  }
  // The configuration came as text, so a copy of the key is in memory anyway; this one is wiped.
  const bytes = Buffer.from(secret, 'base64')
  const sizes = keySizes[kind]
  if (!sizes.includes(bytes.byteLength)) {
    const expected = sizes.join(', ')
    throw invalid(`${at}.secret has ${bytes.byteLength} bytes, expected ${expected}`)
  }
  const owned = SecretBytes.copyOf(bytes)
  bytes.fill(0)
  return { kind, name, secret: owned }
}

function wipe(keys: readonly LocalKey[]): void {
  for (const { secret } of keys) secret[Symbol.dispose]()
}

function fieldsOf(value: unknown, at: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields
  throw invalid(`${at} is not a mapping`)
}

function listOf(value: unknown, at: string): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw invalid(`${at} is not a list`)
}

function invalid(message: string): LatchkeyError {
  return new LatchkeyError('ERR_CONFIG_INVALID', `encryption configuration: ${message}`, {
    hint: "name the file of the API servers' --encryption-provider-config",
  })
}
