import { LatchkeyError } from '../../base/errors.ts'
import { addRoots, replaceRoots } from '../../keyring/generations.ts'
import type { AdminContext, KeyringFlags } from '../context.ts'
import { openCurrent, publish } from './current.ts'

/** Flags of `latchkey keys rewrap`: exactly one of the two lists is not empty. */
export interface RewrapFlags extends KeyringFlags {
  readonly newRoot: readonly string[]
  readonly addRoot: readonly string[]
}

/** `latchkey keys rewrap`: changes what opens the keyring; keys, ids and etcd stay as they are. */
export async function keysRewrap(context: AdminContext, flags: RewrapFlags): Promise<void> {
  if ((flags.newRoot.length === 0) === (flags.addRoot.length === 0)) {
    throw new LatchkeyError('ERR_USAGE', 'name either --new-root or --add-root', {
      hint: '--new-root (repeatable) replaces every root of the keyring, --add-root adds one beside them',
    })
  }
  using current = await openCurrent(context, flags)
  const specs = [...flags.newRoot, ...flags.addRoot]
  const roots = await Promise.all(specs.map((spec) => context.openRoot(spec, { create: true })))
  const make = flags.newRoot.length > 0 ? replaceRoots : addRoots
  const next = await make(current.keyring, roots, context)
  await publish(context, next, { store: current.store, replaces: current.revision })
  const count =
    flags.newRoot.length > 0 ? roots.length : current.keyring.slots.length + roots.length
  context.terminal.say(`generation ${next.generation}: ${count} root(s) open the keyring`)
  if (flags.newRoot.length > 0) {
    context.terminal.say(
      'Name the new root to every latchkey-kms before it restarts: with the former alone it would not serve this keyring.',
    )
    context.terminal.say(
      'The former root still opens older copies and backups of this keyring: destroy it when you want those unreadable.',
    )
  }
}
