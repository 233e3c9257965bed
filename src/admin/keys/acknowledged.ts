import { LatchkeyError } from '../../base/errors.ts'
import { missingAcknowledgements, type Member } from '../../keyring/members.ts'
import type { KeyringStore } from '../../keyring/store.ts'

/**
 * Makes sure that every node that shares the keyring serves the document with this digest.
 *
 * @returns the revision of the members, for `KeyringStore.publish`, which then refuses when a node has
 * joined since; `undefined` where the keyring is not shared.
 * @throws `ERR_WOULD_LOSE_DATA`, naming the nodes that do not, whether they are alive or not.
 */
export async function requireAcknowledged(
  store: KeyringStore,
  document: { readonly generation: number; readonly digest: string },
): Promise<number | undefined> {
  if (store.members === undefined) return undefined
  const { members, revision } = await store.members.list()
  const missing = missingAcknowledgements(members, document.digest)
  if (missing.length === 0) return revision
  throw new LatchkeyError(
    'ERR_WOULD_LOSE_DATA',
    `generation ${document.generation} is not acknowledged by ${missing.map(describe).join(', ')}: what others encrypt with the staged key, these nodes could not decrypt`,
    { hint: remedy(missing) },
  )
}

function describe({ name, alive, acknowledged }: Member): string {
  const what = acknowledged === undefined ? 'none' : `generation ${acknowledged.generation}`
  return `${name} (${alive ? 'alive' : 'not alive'}, has ${what})`
}

function remedy(missing: readonly Member[]): string {
  const dead = missing.filter(({ alive }) => !alive).map(({ name }) => name)
  const look =
    'look at the log of latchkey-kms there, and repeat the command once "latchkey keys nodes" shows all as current'
  if (dead.length === 0) return look
  const names = dead.join(' and ')
  return `start ${names} again and ${look}; a node that is gone for good is taken out with "latchkey keys nodes remove NAME"`
}
