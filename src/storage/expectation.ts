import type { EncryptionConfig } from './encryption-config.ts'
import type { StoredName } from './resource.ts'
import { dataUnder, type StoredValue } from './stored-value.ts'

/** What must hold of every object. Exempt keys always pass. */
export interface Expectation {
  /** The only key ids under which anything may be encrypted. */
  readonly keyIds?: ReadonlySet<string>
  /** Whether nothing may be plaintext. */
  readonly noPlaintext?: boolean
  /**
   * What the API servers are configured to write: every resource must be stored by its first
   * provider, and `noPlaintext` is about what the configuration encrypts.
   */
  readonly config?: EncryptionConfig
  /** Whether plaintext breaks `keyIds` too, as it should where only encrypted resources are looked at. */
  readonly plaintextIsNoKey?: boolean
}

/** Why an object is not as expected: another key id, another provider, plaintext, or no object at all. */
export type Unexpected = 'key' | 'provider' | 'plaintext' | 'undecodable'

/** Holds one object against what is expected; `undefined` when it is so. */
export function judge(
  name: StoredName,
  value: StoredValue,
  expectation: Expectation,
): Unexpected | undefined {
  const { keyIds, noPlaintext = false, config } = expectation
  if (name.exempt) return undefined
  if (keyIds === undefined && !noPlaintext && config === undefined) return undefined
  if (value.kind === 'undecodable') return 'undecodable'
  const writer = config === undefined ? undefined : (config.writerOf(name) ?? 'identity')
  const plain = value.kind === 'identity'
  if (writer !== undefined && !isWrittenBy(value, writer)) return plain ? 'plaintext' : 'provider'
  if (plain) {
    if (writer === 'identity') return undefined
    const matters = noPlaintext || (keyIds !== undefined && expectation.plaintextIsNoKey === true)
    return matters ? 'plaintext' : undefined
  }
  // A resource that is configured to be under another kind of provider has no key id to compare.
  if (keyIds === undefined || (writer !== undefined && !writer.startsWith('kms:'))) return undefined
  const keyId = value.kind === 'kms-v2' || value.kind === 'kms-v1' ? value.keyId : undefined
  if (keyId === undefined) return 'provider'
  return keyIds.has(keyId) ? undefined : 'key'
}

function isWrittenBy(value: StoredValue, writer: string): boolean {
  if (value.provider === writer) return true
  const scheme = `${value.kind}:v1:`
  if (!('keyName' in value) || !writer.startsWith(scheme)) return false
  return dataUnder(value, writer.slice(scheme.length)) !== undefined
}
