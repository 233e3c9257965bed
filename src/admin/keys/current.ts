import { describeError } from '../../base/errors.ts'
import type { NextDocument } from '../../keyring/generations.ts'
import type { Keyring } from '../../keyring/keyring.ts'
import { loadRevision, markOfDocument } from '../../keyring/load.ts'
import type { KeyringStore } from '../../keyring/store.ts'
import type { AdminContext, KeyringFlags } from '../context.ts'

/** The keyring a command works on. Disposing wipes it. */
export interface CurrentKeyring extends Disposable {
  readonly store: KeyringStore
  readonly keyring: Keyring
  readonly revision: number
}

/** Opens the keyring that the flags name. Throws what store, roots and keyring throw. */
export async function openCurrent(
  context: AdminContext,
  flags: KeyringFlags,
): Promise<CurrentKeyring> {
  const store = await context.openStore(flags.keyring)
  const mark = await store.highWater()
  const roots = await Promise.all(flags.root.map((spec) => context.openRoot(spec)))
  const { keyring, revision } = await loadRevision(store, { roots, mark })
  return {
    store,
    keyring,
    revision,
    [Symbol.dispose]: () => {
      keyring[Symbol.dispose]()
    },
  }
}

/** Publishes `next` in the place of what was opened, and records it as this node's newest. */
export async function publish(
  context: AdminContext,
  next: NextDocument,
  options: { readonly store: KeyringStore; readonly replaces: number | undefined },
): Promise<void> {
  await options.store.publish(next.bytes, { replaces: options.replaces })
  try {
    await options.store.raiseHighWater(markOfDocument(next.bytes))
  } catch (error) {
    // The keyring is published; a mark that lags behind only makes a later rollback harder to see.
    context.terminal.say(`warning: the high-water mark was not written: ${describeError(error)}`)
  }
}
