import { LatchkeyError } from '../base/errors.ts'
import { Keyring } from './keyring.ts'
import { checkLineage, type LineageMark } from './lineage.ts'
import type { RootKey } from './root.ts'
import type { KeyringStore } from './store.ts'

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
  const stored = await store.load()
  const mark = await store.highWater()
  if (stored === undefined) throw missing(store, mark)
  const keyring = await Keyring.open(stored.bytes, { roots: options.roots })
  try {
    checkLineage(keyring, mark)
    return keyring
  } catch (error) {
    keyring[Symbol.dispose]()
    throw error
  }
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
