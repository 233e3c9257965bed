import { SecretBytes } from '../../../src/base/secret.ts'
import type { DocumentKind } from '../../../src/keyring/document.ts'
import type { RootKey } from '../../../src/keyring/root.ts'
import { fileRoot } from '../../../src/keyring/roots/file.ts'
import { passphraseRoot } from '../../../src/keyring/roots/passphrase.ts'
import { seededRandom } from '../seeded-random.ts'

/** A root as it stands in a vector; bytes in hexadecimal. */
export interface RootVector {
  readonly type: 'file' | 'passphrase'
  readonly bytes: string
}

/** A document, and everything that opening it yields. */
export interface DocumentVector {
  readonly title: string
  readonly kind: DocumentKind
  /** Each of these opens it on its own. */
  readonly roots: readonly RootVector[]
  readonly document: string
  readonly digest: string
  readonly keyringKey: string
  readonly keyringId: string
  readonly clusterId: string
  readonly generation: number
  readonly keys: readonly {
    readonly id: string
    readonly clusterId: string
    readonly state: string
    /** `null` for a tombstone. */
    readonly material: string | null
  }[]
}

/** A document that is refused, and with which code. */
export interface RefusalVector {
  readonly title: string
  readonly kind: DocumentKind
  readonly roots: readonly RootVector[]
  readonly document: string
  readonly code: string
}

/** Lower-case hexadecimal. */
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
/** One character for each byte. */
export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

const cheap = { memoryKiB: 64, passes: 1, parallelism: 2 }
/** The file root of most vectors. */
export const fileBytes = seededRandom('root file')(32)
/** Another file root. */
export const otherFileBytes = seededRandom('another root file')(32)
/** The passphrase of all vectors. */
export const passphraseBytes = Buffer.from('correct horse battery staple')

/** A root, and how a vector gives it. */
export interface Root {
  readonly key: RootKey
  readonly vector: RootVector
}

/** A root file's root whose salts and nonces come from `seed`. */
export function rootOfFile(bytes: Uint8Array, seed: string): Root {
  return {
    key: fileRoot(SecretBytes.copyOf(bytes), { random: seededRandom(seed) }),
    vector: { type: 'file', bytes: hex(bytes) },
  }
}

/** As {@link rootOfFile}, for the passphrase, at a cost that suits tests. */
export function rootOfPassphrase(seed: string): Root {
  return {
    key: passphraseRoot(SecretBytes.copyOf(passphraseBytes), {
      random: seededRandom(seed),
      cost: cheap,
    }),
    vector: { type: 'passphrase', bytes: hex(passphraseBytes) },
  }
}
