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
  if (members.length === 0) {
    throw new LatchkeyError(
      'ERR_WOULD_LOSE_DATA',
      'no node has joined: nobody would be seen to lack a key',
      { hint: 'start latchkey-kms on every control plane first, and see "latchkey keys nodes"' },
    )
  }
  const missing = missingAcknowledgements(members, document.digest)
  if (missing.length === 0) return revision
  throw new LatchkeyError(
    'ERR_WOULD_LOSE_DATA',
    `generation ${document.generation} is not acknowledged by ${missing.map(describe).join(', ')}: what others encrypt with the staged key, these nodes could not decrypt`,
    { hint: remedy(missing) },
  )
}

/**
 * Makes sure that no node has acknowledged a later keyring than this one, or another of its
 * generation: then etcd was taken back, and what is staged here may have been activated since.
 *
 * @throws `ERR_KEYRING_ROLLED_BACK`, naming those nodes.
 */
export async function requireNewest(
  store: KeyringStore,
  keyring: { readonly generation: number; readonly digest: string },
): Promise<void> {
  if (store.members === undefined) return
  const { members } = await store.members.list()
  const ahead = members.filter(
    ({ acknowledged }) =>
      acknowledged !== undefined &&
      acknowledged.generation >= keyring.generation &&
      acknowledged.digest !== keyring.digest,
  )
  if (ahead.length === 0) return
  throw refuseOlder(
    keyring,
    ahead.map(({ name, acknowledged }) => ({ name, generation: acknowledged?.generation })),
  )
}

/** The refusal to destroy anything in a keyring that is older than what `ahead` have. */
export function refuseOlder(
  { generation }: { readonly generation: number },
  ahead: readonly { readonly name: string; readonly generation: number | undefined }[],
): LatchkeyError {
  const names = ahead.map((it) => `${it.name} has acknowledged generation ${it.generation ?? '?'}`)
  return new LatchkeyError(
    'ERR_KEYRING_ROLLED_BACK',
    `the keyring is at generation ${generation}, but ${names.join(', ')}: an older copy was put back, and the staged key may have been activated since`,
    { hint: 'merge that node’s copy with "latchkey keys adopt --from" first' },
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
