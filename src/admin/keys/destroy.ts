import { describeError, isLatchkeyError } from '../../base/errors.ts'
import { destroyKey } from '../../keyring/transitions.ts'
import type { Annex } from '../../keyring/annex.ts'
import { withAnnex } from '../annex.ts'
import { BackupRegister } from '../backup/register.ts'
import { confirm } from '../confirm.ts'
import type { AdminContext, KeyringFlags } from '../context.ts'
import { openCurrent, publish, type CurrentKeyring } from './current.ts'
import { requireAcknowledged, requireNewest } from './acknowledged.ts'
import { refusal, requireAllClusters, requireTold, requireUnwritten } from './destroy-conditions.ts'
import { Proofs, type Proof } from './proofs.ts'
import type { StorageView } from './rotate/ports.ts'
import { requireUnneeded, type ProvingClient, type ProvingEtcd } from './unneeded.ts'

/** Flags of `latchkey keys destroy`. */
export interface DestroyFlags extends KeyringFlags {
  readonly id: string
  readonly yes: boolean
  /** Destroys on the administrator's own word. */
  readonly unproven: boolean
  /** Makes etcd forget its history now, rather than waiting for the API server to do so. */
  readonly compact: boolean
}

/**
 * `latchkey keys destroy`: removes the material of a retired key once it is proved unneeded: every
 * member has acknowledged the keyring, a scan of etcd is clean, etcd is compacted beyond a revision
 * at which it was clean (watches and paginated lists read older revisions), no registered snapshot
 * needs it, and no API server can still be writing with it. A staged key is given up without proof: it has never encrypted anything.
 *
 * @throws `ERR_WOULD_LOSE_DATA` naming what is in the way; `ERR_KEYRING_ROLLED_BACK` when a node has
 * acknowledged a later keyring.
 */
export async function keysDestroy(
  context: AdminContext,
  proving: ProvingEtcd | undefined,
  flags: DestroyFlags,
): Promise<void> {
  using current = await openCurrent(context, flags)
  const staged = current.keyring.find(flags.id)?.state === 'staged'
  const transition = destroyKey(current.keyring, flags.id, context)
  await requireNewest(current.store, current.keyring)
  await withAnnex(context, flags, async (annex) => {
    const proofs = new Proofs(annex, context.now)
    const explanation = staged
      ? [`Giving up the staged key ${flags.id}: it has never encrypted anything.`]
      : await prove({ current, annex, proofs, proving, flags, now: context.now })
    await confirm(context.terminal, { explanation, yes: flags.yes })
    const { store, revision } = current
    await publish(context, transition.document, { store, replaces: revision })
    // The key is gone: what is left of its proofs must not make that look undone.
    await proofs.forget(flags.id).catch((error: unknown) => {
      context.terminal.say(`warning: its proofs were not removed: ${describeError(error)}`)
    })
  })
  context.terminal.data(transition.keyId)
}

async function prove(what: {
  readonly current: CurrentKeyring
  readonly annex: Annex
  readonly proofs: Proofs
  readonly proving: ProvingEtcd | undefined
  readonly flags: DestroyFlags
  readonly now: () => number
}): Promise<readonly string[]> {
  const { current, annex, proofs, proving, flags } = what
  const lost = `Destroying ${flags.id}: whatever is still encrypted under it can never be read again.`
  const copies = `Copies that remain: revision ${current.revision} of this keyring in ${current.store.location} until the next change, and every backup of the keyring made before now. Only "latchkey keys rewrap" and destroying the old root make those useless.`
  const register = new BackupRegister(annex)
  const needing = await register.needing(flags.id)
  if (needing.length > 0) {
    throw refusal(
      `registered snapshots need key ${flags.id}: ${needing.map(({ name }) => name).join(', ')}`,
      'when a snapshot is no longer kept, say so: latchkey backup remove NAME',
    )
  }
  const registered = await register.list()
  const snapshots = `Snapshots of etcd: ${registered.length} registered, none needs it; one that is not registered may.`
  if (flags.unproven) {
    return [
      lost,
      'Not known here: whether an object in etcd or an older revision of it still needs it.',
      snapshots,
      copies,
    ]
  }
  if (proving === undefined) {
    throw refusal(
      `nothing has proved that etcd no longer needs key ${flags.id}`,
      'name the etcd of the API servers with --etcd, so that it is scanned; or say --unproven to destroy the key on your own word',
    )
  }
  requireTold(registered)
  await requireAcknowledged(current.store, current.keyring)
  await requireUnwritten({ ...what, keyId: flags.id })
  await requireAllClusters(flags.id, proving, proofs)
  const view = await requireUnneeded(flags.id, current.keyring, proving)
  await proofs.add([flags.id], view.clusters)
  if (flags.compact) await compact(proving, view)
  const behind = await findCompacted(proving, await proofs.of(flags.id), view)
  if (behind === undefined) {
    throw refusal(
      `etcd still keeps revisions from before it was seen that nothing needs key ${flags.id}, where objects may have needed it`,
      'repeat this in ten minutes, as API servers compact etcd every five; or say --compact to do it now',
    )
  }
  return [
    lost,
    `Proved: nothing in etcd needs it at revision ${view.revision}, and etcd keeps nothing from before ${behind.at}, when nothing did either.`,
    snapshots,
    copies,
    'Afterwards restart every API server, one after the other: a running one remembers what it has decrypted, and would hide a loss.',
  ]
}

async function compact({ etcd, signal }: ProvingEtcd, view: StorageView): Promise<void> {
  for (const [index, client] of etcd.entries()) {
    const revision = view.clusters[index]?.revision
    if (revision === undefined) continue
    await client.compact(revision, { signal, timeoutMs: 60_000 }).catch((error: unknown) => {
      // Somebody has compacted further already.
      if (!isLatchkeyError(error, 'ERR_ETCD_COMPACTED')) throw error
    })
  }
}

/** One of the proofs, from before which no etcd keeps a revision any more. */
async function findCompacted(
  proving: ProvingEtcd,
  proofs: readonly Proof[],
  view: StorageView,
): Promise<Proof | undefined> {
  const ids = await Promise.all(proving.etcd.map((client) => client.clusterId(proving)))
  for (const proof of proofs) {
    const revisions = ids.map((id) => proof.clusters.find((it) => it.id === String(id))?.revision)
    if (proof.clusters.length !== ids.length || revisions.includes(undefined)) continue
    // What was proved at a revision that is still to come was proved of an etcd since taken back.
    const isAhead = (revision = 0, index: number): boolean =>
      revision > (view.clusters[index]?.revision ?? 0)
    if (revisions.some(isAhead)) continue
    const gone = await Promise.all(
      proving.etcd.map((client, index) =>
        isGone(client, (revisions[index] ?? 0) - 1, proving.signal),
      ),
    )
    if (gone.every(Boolean)) return proof
  }
  return undefined
}

async function isGone(
  client: ProvingClient,
  revision: number,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await client.range('/', { revision, limit: 1, keysOnly: true, signal })
    return false
  } catch (error) {
    if (isLatchkeyError(error, 'ERR_ETCD_COMPACTED')) return true
    throw error
  }
}
