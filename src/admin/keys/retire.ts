import { LatchkeyError } from '../../base/errors.ts'
import { retireKey } from '../../keyring/transitions.ts'
import { withAnnex } from '../annex.ts'
import { confirm } from '../confirm.ts'
import type { AdminContext, KeyringFlags } from '../context.ts'
import { openCurrent, publish } from './current.ts'
import { Proofs } from './proofs.ts'
import { requireUnneeded, type ProvingEtcd } from './unneeded.ts'

/** Flags of `latchkey keys retire`. */
export interface RetireFlags extends KeyringFlags {
  readonly id: string
  readonly yes: boolean
  /** Retires on the administrator's own word. */
  readonly unproven: boolean
}

/**
 * `latchkey keys retire`: declares a superseded key unneeded, once a scan of etcd has found nothing
 * under it.
 *
 * @throws `ERR_WOULD_LOSE_DATA` when something needs the key, or when, without `unproven`, nobody
 * has looked into etcd.
 */
export async function keysRetire(
  context: AdminContext,
  proving: ProvingEtcd | undefined,
  flags: RetireFlags,
): Promise<void> {
  using current = await openCurrent(context, flags)
  const transition = retireKey(current.keyring, flags.id, context)
  const begin = `Retiring ${flags.id}: it goes on decrypting, and each use raises a metric and a warning.`
  const explanation = [begin]
  if (flags.unproven) {
    explanation.push(
      'Not known here: whether an object in etcd, an older etcd revision or a snapshot still needs it.',
    )
  } else {
    const view = await requireUnneeded(flags.id, current.keyring, proving ?? nobodyLooked(flags.id))
    await withAnnex(context, flags, async (annex) => {
      await new Proofs(annex, context.now).add([flags.id], view.clusters)
    })
    explanation.push(
      `Proved: nothing in etcd needs it at revision ${view.revision}. Not known here: whether every API server writes with the active key, which "latchkey keys rotate" proves.`,
    )
  }
  await confirm(context.terminal, { explanation, yes: flags.yes })
  const { store, revision } = current
  await publish(context, transition.document, { store, replaces: revision })
  context.terminal.data(transition.keyId)
}

function nobodyLooked(id: string): never {
  throw new LatchkeyError(
    'ERR_WOULD_LOSE_DATA',
    `nothing has proved that etcd no longer needs key ${id}`,
    {
      hint: 'name the etcd of the API servers with --etcd, so that it is scanned; or say --unproven to retire the key on your own word',
    },
  )
}
