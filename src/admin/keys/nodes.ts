import { sha256Label } from '../../base/bytes.ts'
import { LatchkeyError } from '../../base/errors.ts'
import { parseDocument } from '../../keyring/document.ts'
import type { KeyringMembers } from '../../keyring/members.ts'
import type { KeyringStore } from '../../keyring/store.ts'
import { confirm } from '../confirm.ts'
import type { AdminContext, EtcdKeyringFlags } from '../context.ts'
import { age, print, type OutputFormat } from '../output.ts'

/** Flags of `latchkey keys nodes`: no root is needed, since only public parts are read. */
export interface NodesFlags extends EtcdKeyringFlags {
  readonly keyring: string
}

/** `latchkey keys nodes`: which nodes share the keyring, and who has loaded what. */
export async function keysNodes(
  context: AdminContext,
  flags: NodesFlags & { readonly output: OutputFormat },
): Promise<void> {
  const store = await context.openStore(flags.keyring, flags)
  try {
    const { members } = await membersOf(store).list()
    const stored = await store.load()
    const current = stored && {
      generation: parseDocument(stored.bytes, 'keyring').body.generation,
      digest: sha256Label(stored.bytes),
    }
    const nodes = members.map((member) => ({
      name: member.name,
      alive: member.alive,
      joinedAt: member.joinedAt,
      current: current !== undefined && member.acknowledged?.digest === current.digest,
      acknowledged: member.acknowledged ?? null,
    }))
    await print(context.terminal, {
      format: flags.output,
      value: { generation: current?.generation ?? 0, digest: current?.digest ?? null, nodes },
      table: () => [
        ['NODE', 'ALIVE', 'GENERATION', 'CURRENT', 'ACKNOWLEDGED', 'AGE'],
        ...nodes.map(({ name, alive, joinedAt, current: isCurrent, acknowledged }) => [
          name,
          alive ? 'yes' : 'no',
          acknowledged === null ? '-' : String(acknowledged.generation),
          isCurrent ? 'yes' : 'no',
          acknowledged === null ? '-' : `${age(acknowledged.at, context.now())} ago`,
          age(joinedAt, context.now()),
        ]),
      ],
    })
    if (flags.output === 'table') {
      const behind = nodes.filter((node) => !node.current).length
      context.terminal.say(
        `generation ${current?.generation ?? 0}; ${nodes.length} node(s), ${behind} behind`,
      )
    }
  } finally {
    store.close?.()
  }
}

/**
 * `latchkey keys nodes remove`: a rotation no longer waits for that node.
 *
 * @throws `ERR_MEMBER_NOT_FOUND`, `ERR_MEMBER_ALIVE`.
 */
export async function keysNodesRemove(
  context: AdminContext,
  flags: NodesFlags & { readonly name: string; readonly yes: boolean },
): Promise<void> {
  const { name } = flags
  const store = await context.openStore(flags.keyring, flags)
  try {
    const members = membersOf(store)
    const explanation = [
      `Removing the node ${name}: rotations no longer wait for it, and keys that it still encrypts with may be destroyed.`,
      'Not known here: whether it still runs, cut off from etcd. If it does, what its API server writes may become unreadable.',
      'Should it come back, it joins again before it serves anything new.',
    ]
    await confirm(context.terminal, { explanation, yes: flags.yes })
    await members.remove(name)
    context.terminal.say(`node ${name} is removed`)
  } finally {
    store.close?.()
  }
}

function membersOf(store: KeyringStore): KeyringMembers {
  if (store.members !== undefined) return store.members
  throw new LatchkeyError('ERR_USAGE', `${store.location} is for one node alone`, {
    hint: 'name a keyring in etcd: --keyring etcd:https://HOST:PORT/PREFIX',
  })
}
