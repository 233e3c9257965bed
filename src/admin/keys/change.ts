import { LatchkeyError } from '../../base/errors.ts'
import {
  activateKey,
  destroyKey,
  retireKey,
  stageKey,
  type Transition,
} from '../../keyring/transitions.ts'
import { confirm } from '../confirm.ts'
import type { AdminContext, KeyringFlags } from '../context.ts'
import { requireAcknowledged } from './acknowledged.ts'
import { openCurrent, publish, type CurrentKeyring } from './current.ts'

/** `latchkey keys stage`: adds a key that every node can decrypt with and none encrypts with. */
export async function keysStage(context: AdminContext, flags: KeyringFlags): Promise<void> {
  using current = await openCurrent(context, flags)
  await commit(context, current, stageKey(current.keyring, context))
  context.terminal.say(
    'The key is staged. When every control plane has loaded it, run "latchkey keys activate".',
  )
}

/**
 * `latchkey keys activate`: the staged key becomes active, the active one superseded.
 *
 * @throws `ERR_WOULD_LOSE_DATA` while a node that shares the keyring has not loaded the staged key.
 */
export async function keysActivate(context: AdminContext, flags: KeyringFlags): Promise<void> {
  using current = await openCurrent(context, flags)
  const former = current.keyring.active.id
  const transition = activateKey(current.keyring, context)
  const members = await requireAcknowledged(current.store, current.keyring)
  await commit(context, current, transition, members)
  context.terminal.say(
    `The key is active; ${former} is superseded and still needed until everything in etcd is rewritten.`,
  )
}

/** Flags of the commands that take something away. */
export interface RemovalFlags extends KeyringFlags {
  readonly id: string
  readonly yes: boolean
}

/**
 * `latchkey keys retire`.
 *
 * @throws `ERR_WOULD_LOSE_DATA` without `unproven`, as nothing here has looked into etcd.
 */
export async function keysRetire(
  context: AdminContext,
  flags: RemovalFlags & { readonly unproven: boolean },
): Promise<void> {
  using current = await openCurrent(context, flags)
  const transition = retireKey(current.keyring, flags.id, context)
  if (!flags.unproven) {
    throw new LatchkeyError(
      'ERR_WOULD_LOSE_DATA',
      `nothing has proved that etcd no longer needs key ${flags.id}`,
      {
        hint: 'rewrite every encrypted object ("kubectl get … -o json | kubectl replace -f -") and look at the API servers\' metrics, then say --unproven to retire it on your own word',
      },
    )
  }
  const explanation = [
    `Retiring ${flags.id}: it goes on decrypting, and each use raises a metric and a warning.`,
    'Not known here: whether an object in etcd, an older etcd revision or a snapshot still needs it.',
  ]
  await confirm(context.terminal, { explanation, yes: flags.yes })
  await commit(context, current, transition)
}

/** `latchkey keys destroy`. Throws `ERR_WOULD_LOSE_DATA` unless the key is retired, or staged. */
export async function keysDestroy(context: AdminContext, flags: RemovalFlags): Promise<void> {
  using current = await openCurrent(context, flags)
  const staged = current.keyring.find(flags.id)?.state === 'staged'
  const transition = destroyKey(current.keyring, flags.id, context)
  const explanation = staged
    ? [`Giving up the staged key ${flags.id}: it has never encrypted anything.`]
    : [
        `Destroying ${flags.id}: whatever is still encrypted under it can never be read again.`,
        'Not known here: whether an object in etcd, an older etcd revision or a snapshot still needs it.',
        `Copies that remain: revision ${current.revision} of this keyring in ${current.store.location} until the next change, and every backup made before now.`,
      ]
  await confirm(context.terminal, { explanation, yes: flags.yes })
  await commit(context, current, transition)
}

async function commit(
  context: AdminContext,
  current: CurrentKeyring,
  transition: Transition,
  members?: number,
): Promise<void> {
  const { store, revision } = current
  await publish(context, transition.document, { store, replaces: revision, members })
  context.terminal.data(transition.keyId)
}
