import { LatchkeyError } from '../../base/errors.ts'
import { markOf } from '../../keyring/load.ts'
import type { KeyringStore } from '../../keyring/store.ts'
import type { AdminContext, KeyringFlags } from '../context.ts'
import { openCurrent } from './current.ts'

/**
 * `latchkey keys import`: the keyring of `from` becomes the first one of `--keyring`, the same to the
 * byte, so that whoever used it goes on where it was.
 */
export async function keysImport(
  context: AdminContext,
  flags: KeyringFlags & { readonly from: string },
): Promise<void> {
  await copyKeyring(context, { ...flags, keyring: flags.from, to: flags.keyring })
  context.terminal.say(
    `From now on change it there alone: start every latchkey-kms with --keyring ${flags.keyring}, and put ${flags.from} away.`,
  )
}

/** `latchkey keys export`: the other way. */
export async function keysExport(
  context: AdminContext,
  flags: KeyringFlags & { readonly to: string },
): Promise<void> {
  await copyKeyring(context, flags)
  context.terminal.say(
    `A keyring that is changed in two places forks: use either ${flags.keyring} or ${flags.to}, not both.`,
  )
}

/**
 * Copies the document that is current in `keyring` to `to`.
 *
 * @throws `ERR_KEYRING_EXISTS` when there is one, also of the past; whatever opening the source throws.
 */
async function copyKeyring(
  context: AdminContext,
  flags: KeyringFlags & { readonly to: string },
): Promise<void> {
  const target = await context.openStore(flags.to, flags)
  try {
    // Opened, not only moved: what does not open is no keyring anywhere.
    using source = await openCurrent(context, flags)
    const stored = await source.store.load()
    if (stored?.revision !== source.revision) throw changed(source.store)
    const mark = await target.highWater()
    if (mark !== undefined && mark.digest !== source.keyring.digest) throw used(target)
    await target.publish(stored.bytes, { replaces: undefined })
    await target.raiseHighWater(markOf(source.keyring))
    context.terminal.say(
      `${target.location}: generation ${source.keyring.generation} of cluster ${source.keyring.clusterId}, copied from ${source.store.location}`,
    )
    context.terminal.data(source.keyring.active.id)
  } finally {
    target.close?.()
  }
}

function changed(store: KeyringStore): LatchkeyError {
  return new LatchkeyError('ERR_KEYRING_CONFLICT', `${store.location} was changed meanwhile`, {
    hint: 'repeat the command; nothing was changed by it',
  })
}

function used(target: KeyringStore): LatchkeyError {
  return new LatchkeyError(
    'ERR_KEYRING_EXISTS',
    `another keyring than this was used with ${target.location}`,
    { hint: 'name another place, or merge the two with "latchkey keys adopt --from"' },
  )
}
