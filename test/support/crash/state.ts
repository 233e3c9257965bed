import { readFile } from 'node:fs/promises'
import { isLatchkeyError, systemCode } from '../../../src/base/errors.ts'
import { systemDisk } from '../../../src/clients/disk.ts'
import { Keyring } from '../../../src/keyring/keyring.ts'
import { loadKeyring } from '../../../src/keyring/load.ts'
import type { RootKey } from '../../../src/keyring/root.ts'
import { cheapPassphraseRoot } from '../keyrings.ts'
import { contextIn } from './place.ts'

/** A directory in which commands run, and the roots that may open the keyring in it. */
export interface Place {
  readonly cwd: string
  readonly roots: readonly string[]
}

/** What a fresh process finds: the keyring's public parts, or the code with which it is refused. */
export type State = string | KeyringState

/** A keyring's public parts. */
export interface KeyringState {
  readonly generation: number
  readonly slots: number
  readonly keys: readonly { readonly id: string; readonly state: string }[]
}

/** Loads the keyring in `keyring` as a plugin that starts now would. */
export async function stateIn(place: Place): Promise<State> {
  const context = contextIn(place.cwd, systemDisk)
  try {
    const roots: RootKey[] = []
    for (const spec of place.roots) {
      const root = await context.openRoot(spec).catch((error: unknown) => {
        if (isLatchkeyError(error, 'ERR_ROOT_NOT_FOUND')) return undefined
        throw error
      })
      if (root !== undefined) roots.push(root)
    }
    using keyring = await loadKeyring(await context.openStore('keyring'), { roots })
    return summary(keyring)
  } catch (error) {
    if (isLatchkeyError(error)) return error.code
    throw error
  }
}

/** Opens the backup in `backup`; `absent` when there is none. */
export async function backupIn(cwd: string): Promise<State> {
  try {
    const bytes = await readFile(`${cwd}/backup`)
    const roots = [cheapPassphraseRoot('a passphrase')]
    using backup = await Keyring.open(bytes, { roots, kind: 'backup' })
    return summary(backup)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 'absent'
    if (isLatchkeyError(error)) return error.code
    throw error
  }
}

function summary(keyring: Keyring): KeyringState {
  return {
    generation: keyring.generation,
    slots: keyring.slots.length,
    keys: keyring.keys.map(({ id, state }) => ({ id, state })),
  }
}

/** Whether two states are alike: ids of keys that only one of them has are random, and may differ. */
export function alike(one: State, other: State): boolean {
  const shape = (state: State): unknown =>
    typeof state === 'string'
      ? state
      : [state.generation, state.slots, state.keys.map((key) => key.state)]
  return JSON.stringify(shape(one)) === JSON.stringify(shape(other))
}
