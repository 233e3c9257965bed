import { isLatchkeyError, LatchkeyError } from '../base/errors.ts'
import { parseDocument } from './document.ts'
import { Keyring } from './keyring.ts'
import { checkLineage, type LineageMark } from './lineage.ts'
import type { RootKey } from './root.ts'
import type { KeyringStore, StoredDocument } from './store.ts'

/** An opened keyring, and the store's revision that it came from, which the next one replaces. */
export interface LoadedKeyring {
  readonly keyring: Keyring
  readonly revision: number
}

/**
 * Opens the store's current keyring and holds it against what this node has accepted before.
 *
 * @throws `ERR_KEYRING_NOT_FOUND` when the store is empty, `ERR_KEYRING_ROLLED_BACK`, `_FORKED`,
 * `_FOREIGN`, and whatever `KeyringStore.load` and `Keyring.open` throw.
 */
export async function loadKeyring(
  store: KeyringStore,
  options: { readonly roots: readonly RootKey[] },
): Promise<Keyring> {
  const mark = await store.highWater()
  const { keyring } = await loadRevision(store, { ...options, mark })
  return keyring
}

/**
 * As {@link loadKeyring}, with the revision, against a given mark. `mark: undefined` takes whatever
 * is there, also an older copy: only a command that mends a lineage may do so.
 */
export async function loadRevision(
  store: KeyringStore,
  options: {
    readonly roots: readonly RootKey[]
    readonly mark: LineageMark | undefined
    /** What this node has used, for the error when nothing is there. Default: the mark. */
    readonly used?: LineageMark | undefined
  },
): Promise<LoadedKeyring> {
  const stored = await store.load()
  if (stored === undefined) throw missing(store, options.used ?? options.mark)
  const keyring = await open(stored, options.roots)
  try {
    checkLineage(keyring, options.mark)
    return { keyring, revision: stored.revision }
  } catch (error) {
    keyring[Symbol.dispose]()
    throw error
  }
}

/** Opens a stored document; what is wrong with it names the place, so that its remedy can be followed. */
async function open(stored: StoredDocument, roots: readonly RootKey[]): Promise<Keyring> {
  try {
    return await Keyring.open(stored.bytes, { roots })
  } catch (error) {
    if (!isLatchkeyError(error) || !error.code.startsWith('ERR_KEYRING_')) throw error
    throw new LatchkeyError(error.code, `${stored.location}: ${error.message}`, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    })
  }
}

/** What to record about a document that was published. Throws as `parseDocument`. */
export function markOfDocument(bytes: Uint8Array): LineageMark {
  const { body, digest } = parseDocument(bytes, 'keyring')
  const { keyringId, generation, ancestors } = body
  return { keyringId, generation, digest, ancestors }
}

/** What to record about `keyring` once it is accepted. */
export function markOf(keyring: Keyring): LineageMark {
  const { keyringId, generation, digest, ancestors } = keyring
  return { keyringId, generation, digest, ancestors }
}

function missing(store: KeyringStore, mark: LineageMark | undefined): LatchkeyError {
  if (mark === undefined) {
    return new LatchkeyError('ERR_KEYRING_NOT_FOUND', `there is no keyring in ${store.location}`, {
      hint: 'create one with "latchkey keys init", or restore one with "latchkey keys restore"',
    })
  }
  return new LatchkeyError(
    'ERR_KEYRING_NOT_FOUND',
    `the keyring of ${store.location} is gone: this node used its generation ${mark.generation}`,
    {
      hint: 'put the keyring files back, or restore them with "latchkey keys restore"; a new "latchkey keys init" could not decrypt what is in etcd',
    },
  )
}
