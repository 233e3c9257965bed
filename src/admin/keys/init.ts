import { LatchkeyError } from '../../base/errors.ts'
import { createKeyring } from '../../keyring/generations.ts'
import { markOfDocument } from '../../keyring/load.ts'
import { parseDocument } from '../../keyring/document.ts'
import type { AdminContext, KeyringFlags } from '../context.ts'
import { publish } from './current.ts'

/** Flags of `latchkey keys init`. */
export interface InitFlags extends KeyringFlags {
  readonly clusterId: string | undefined
}

/**
 * Creates a keyring with one active key, and the root file when there is none. Prints the key id.
 *
 * @throws `ERR_KEYRING_EXISTS` when there is a keyring, or was one that this node, or one that has
 * joined, used.
 */
export async function keysInit(context: AdminContext, flags: InitFlags): Promise<void> {
  const store = await context.openStore(flags.keyring, flags)
  const [stored, mark] = [await store.load(), await store.highWater()]
  if (stored !== undefined || mark !== undefined) {
    throw new LatchkeyError(
      'ERR_KEYRING_EXISTS',
      stored === undefined
        ? `the keyring of ${store.location} is gone, and this node used it up to generation ${mark?.generation ?? 0}`
        : `there is a keyring in ${store.location} already`,
      {
        hint:
          stored === undefined
            ? 'restore it with "latchkey keys restore": a new one could not decrypt what is in etcd'
            : 'use it, or name another directory; a keyring that may have encrypted something is never overwritten',
      },
    )
  }
  const users = ((await store.members?.list())?.members ?? []).filter((it) => it.acknowledged)
  if (users.length > 0) {
    // A node that joins would take the new one, and encrypt what those with the former cannot read.
    throw new LatchkeyError(
      'ERR_KEYRING_EXISTS',
      `the keyring of ${store.location} is gone, and ${users.map(({ name }) => name).join(', ')} used it`,
      {
        hint: 'put it back with "latchkey keys import --from", naming the newest copy that a node has kept',
      },
    )
  }
  const roots = await Promise.all(
    flags.root.map((spec) => context.openRoot(spec, { create: true })),
  )
  const next = await createKeyring({ clusterId: flags.clusterId, roots }, context)
  await publish(context, next, { store, replaces: undefined })
  const { generation } = markOfDocument(next.bytes)
  const [key] = parseDocument(next.bytes, 'keyring').body.keys
  context.terminal.say(`keyring ${store.location}: generation ${generation}, one active key`)
  context.terminal.say(
    'Back it up now ("latchkey keys backup"), apart from etcd and from the root: without it, or without the root, nothing in etcd can be read.',
  )
  context.terminal.data(key?.id ?? '')
}
