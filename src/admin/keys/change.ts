import { activateKey, stageKey, type Transition } from '../../keyring/transitions.ts'
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
