import { describeError } from '../../base/errors.ts'
import type { NextDocument } from '../../keyring/generations.ts'
import type { Keyring } from '../../keyring/keyring.ts'
import { checkLineage, type LineageMark } from '../../keyring/lineage.ts'
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
  const store = await context.openStore(flags.keyring, flags)
  const mark = await store.highWater()
  const roots = await Promise.all(flags.root.map((spec) => context.openRoot(spec)))
  const { keyring, revision } = await loadRevision(store, { roots, mark })
  return {
    store,
    keyring,
    revision,
    [Symbol.dispose]: () => {
      keyring[Symbol.dispose]()
      store.close?.()
    },
  }
}

/**
 * Publishes `next` in the place of what was opened, and records it as this node's newest. Killed at
 * any moment it leaves what was there before, or all of the new, and can be repeated.
 */
export async function publish(
  context: AdminContext,
  next: NextDocument,
  options: {
    readonly store: KeyringStore
    readonly replaces: number | undefined
    /** As in `KeyringStore.publish`. */
    readonly members?: number | undefined
  },
): Promise<void> {
  const { store, replaces, members } = options
  const mark = markOfDocument(next.bytes)
  // What mends a lineage would be refused under the former mark, so there the new one comes first:
  // in between, what was missing or refused before still is.
  if (!follows(mark, await store.highWater())) await store.raiseHighWater(mark)
  await store.publish(next.bytes, { replaces, ...(members === undefined ? {} : { members }) })
  try {
    await store.raiseHighWater(mark)
  } catch (error) {
    // The keyring is published; a mark that lags behind only makes a later rollback harder to see.
    context.terminal.say(`warning: the high-water mark was not written: ${describeError(error)}`)
  }
}

/** Whether `next` is what `mark`, the newest keyring that this node has used, became. */
export function follows(next: LineageMark, mark: LineageMark | undefined): boolean {
  try {
    checkLineage(next, mark)
    return true
  } catch {
    return false
  }
}
