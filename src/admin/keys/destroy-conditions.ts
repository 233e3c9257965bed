import { LatchkeyError } from '../../base/errors.ts'
import type { RegisteredBackup } from '../backup/register.ts'
import type { CurrentKeyring } from './current.ts'
import type { Proofs } from './proofs.ts'
import type { ProvingEtcd } from './unneeded.ts'

/**
 * What a snapshot needs and nobody can tell may be the key.
 *
 * @throws `ERR_WOULD_LOSE_DATA` naming such snapshots.
 */
export function requireTold(registered: readonly RegisteredBackup[]): void {
  const unknown = registered.filter(({ unreadable = 0 }) => unreadable > 0)
  if (unknown.length === 0) return
  throw refusal(
    `which keys registered snapshots need cannot be told: ${unknown.map(({ name }) => name).join(', ')}`,
    'look at each with "latchkey etcd scan --snapshot"; when it is no longer kept, say so: latchkey backup remove NAME',
  )
}

/**
 * How long an API server may go on writing with a key after its plugin has turned to another: a
 * minute until it asks, three on its last answer, one for a request that has begun.
 */
const writingMs = 300_000

/**
 * Only a rotation proves that no API server writes with the key; else that time must have passed since
 * the last node has said what it serves.
 *
 * @throws `ERR_WOULD_LOSE_DATA` telling how long to wait.
 */
export async function requireUnwritten(what: {
  readonly current: CurrentKeyring
  readonly proofs: Proofs
  readonly keyId: string
  readonly now: () => number
}): Promise<void> {
  const { current, proofs, keyId, now } = what
  if ((await proofs.of(keyId)).some(({ unwritten }) => unwritten === true)) return
  const members = (await current.store.members?.list())?.members ?? []
  const times = [current.keyring.active.changedAt, ...members.map((it) => it.acknowledged?.at)]
  const turnedMs = Math.max(...times.map((time) => Date.parse(time ?? '') || 0))
  const leftMs = turnedMs + writingMs - now()
  if (leftMs <= 0) return
  throw refusal(
    `no rotation has proved that no API server writes with key ${keyId}, and for ${Math.ceil(leftMs / 1000)} s more one may`,
    'repeat this after that time; "latchkey keys rotate" proves each API server instead',
  )
}

/**
 * An etcd that belonged to the cluster when the key was proved unneeded may hold what needs it.
 *
 * @throws `ERR_WOULD_LOSE_DATA` when fewer are named than then.
 */
export async function requireAllClusters(
  keyId: string,
  proving: ProvingEtcd,
  proofs: Proofs,
): Promise<void> {
  const ids = await Promise.all(proving.etcd.map((client) => client.clusterId(proving)))
  const named = new Set(ids).size
  const most = Math.max(0, ...(await proofs.of(keyId)).map(({ clusters }) => clusters.length))
  if (named >= most) return
  throw refusal(
    `${named} etcd cluster(s) are named, and key ${keyId} was proved unneeded in ${most}`,
    'name every etcd of the API servers, one --etcd for each, also those of --etcd-servers-overrides',
  )
}

/** A refusal to destroy. */
export function refusal(message: string, hint: string): LatchkeyError {
  return new LatchkeyError('ERR_WOULD_LOSE_DATA', message, { hint })
}
