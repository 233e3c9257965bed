import { timingSafeEqual } from 'node:crypto'
import { LatchkeyError } from '../base/errors.ts'
import { SecretBytes } from '../base/secret.ts'
import { isSecretKey } from './reference.ts'

/** Largest value of one key, in bytes. */
export const maxValueBytes = 1_048_576
/** Most keys in one secret. */
export const maxEntries = 10_000
/** Largest secret, and largest set of secrets for one pod, in bytes of its values. */
export const maxContentBytes = 16 * 1_048_576

/** One key of a secret with its value. */
export interface SecretEntry {
  readonly key: string
  readonly value: SecretBytes
}

/**
 * What a secret holds: its keys in ascending order of their bytes, each once. Owns its values;
 * disposing of the content wipes them.
 */
export class SecretContent implements Disposable {
  readonly entries: readonly SecretEntry[]
  /** Bytes of all values together. */
  readonly byteLength: number

  private constructor(entries: readonly SecretEntry[]) {
    this.entries = entries
    this.byteLength = entries.reduce((sum, entry) => sum + entry.value.byteLength, 0)
  }

  /**
   * Takes ownership of the values. On an error they are wiped.
   *
   * @throws `ERR_SECRET_KEY` for a key that the Kubernetes API would refuse, or that comes twice;
   * `ERR_SECRET_TOO_LARGE`.
   */
  static take(entries: readonly SecretEntry[]): SecretContent {
    try {
      check(entries)
    } catch (error) {
      for (const entry of entries) entry.value[Symbol.dispose]()
      throw error
    }
    // Keys are ASCII, so the order of UTF-16 units is the order of bytes.
    return new SecretContent([...entries].sort((a, b) => (a.key < b.key ? -1 : 1)))
  }

  /** The entries of `keys`, or all of them when `keys` is empty. Still owned by this content. */
  select(keys: readonly string[]): readonly SecretEntry[] {
    if (keys.length === 0) return this.entries
    const wanted = new Set(keys)
    return this.entries.filter((entry) => wanted.has(entry.key))
  }

  /** Whether `other` has the same keys with the same values. */
  equals(other: SecretContent): boolean {
    return (
      this.byteLength === other.byteLength &&
      this.entries.length === other.entries.length &&
      this.entries.every((entry, index) => {
        const its = other.entries[index]
        return entry.key === its?.key && sameBytes(entry.value, its.value)
      })
    )
  }

  /** A second owner of equal content. */
  clone(): SecretContent {
    return new SecretContent(
      this.entries.map(({ key, value }) => ({ key, value: SecretBytes.copyOf(value.expose()) })),
    )
  }

  [Symbol.dispose](): void {
    for (const entry of this.entries) entry.value[Symbol.dispose]()
  }
}

function sameBytes(a: SecretBytes, b: SecretBytes): boolean {
  return a.byteLength === b.byteLength && timingSafeEqual(a.expose(), b.expose())
}

function check(entries: readonly SecretEntry[]): void {
  if (entries.length > maxEntries) {
    throw tooLarge(`the secret has ${entries.length} keys, expected at most ${maxEntries}`)
  }
  const seen = new Set<string>()
  let total = 0
  for (const { key, value } of entries) {
    if (!isSecretKey(key)) {
      throw new LatchkeyError('ERR_SECRET_KEY', 'a key of the secret has no valid name', {
        hint: 'use 1 to 253 characters of a-z, A-Z, 0-9, -, _ and ., not starting with ..',
      })
    }
    if (seen.has(key)) throw new LatchkeyError('ERR_SECRET_KEY', `the key ${key} comes twice`)
    seen.add(key)
    total += value.byteLength
    if (value.byteLength > maxValueBytes) {
      throw tooLarge(`${key} has ${value.byteLength} bytes, expected at most ${maxValueBytes}`)
    }
  }
  if (total > maxContentBytes) {
    throw tooLarge(`the secret has ${total} bytes, expected at most ${maxContentBytes}`)
  }
}

function tooLarge(message: string): LatchkeyError {
  return new LatchkeyError('ERR_SECRET_TOO_LARGE', message, {
    hint: 'split the secret into smaller ones',
  })
}
