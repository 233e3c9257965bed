import { LatchkeyError } from '../../base/errors.ts'
import { sha256Label } from '../../base/bytes.ts'
import { parseDocument } from '../../keyring/document.ts'
import { missingAcknowledgements } from '../../keyring/members.ts'
import type { KeyringStore } from '../../keyring/store.ts'
import { withAnnex } from '../annex.ts'
import { BackupRegister } from '../backup/register.ts'
import type { AdminContext, EtcdKeyringFlags } from '../context.ts'
import { Journal } from '../keys/rotate/journal.ts'
import { print, type OutputFormat } from '../output.ts'
import { statusRows } from './rows.ts'
import { warningsOf } from './warnings.ts'

/** Flags of `latchkey status`: no root is needed, since only public parts are read. */
export interface StatusFlags extends EtcdKeyringFlags {
  readonly keyring: string
  readonly maxKeyAgeDays: number
}

/** What `-o json` prints; field names are an interface. */
export interface Status {
  readonly keyring: string
  readonly clusterId: string
  readonly generation: number
  /** `sinceDays`: whole days for which it has been the active one. */
  readonly activeKey: { readonly id: string; readonly since: string; readonly sinceDays: number }
  readonly stagedKey: { readonly id: string; readonly since: string } | null
  /** How many keys are in each of the later states. */
  readonly formerKeys: Readonly<Record<'superseded' | 'retired' | 'destroyed', number>>
  /** The rotation that has begun and not ended. */
  readonly rotation: { readonly since: string; readonly keyId: string | null } | null
  /** `null` where the keyring is for one node alone. */
  readonly nodes: {
    readonly total: number
    readonly silent: readonly string[]
    readonly behind: readonly string[]
  } | null
  /** Snapshots of etcd that are registered, and how many keys they keep alive. */
  readonly snapshots: { readonly total: number; readonly keys: number }
  readonly warnings: readonly StatusWarning[]
}

/** Something to see to, and how. */
export interface StatusWarning {
  readonly message: string
  readonly remedy: string
}

/**
 * `latchkey status`: where the keyring of a cluster stands, at a glance. It needs no root, so it
 * believes the document; `latchkey doctor` checks that it is genuine.
 *
 * @returns whether there is nothing to warn of.
 * @throws `ERR_KEYRING_NOT_FOUND`; what the store and `parseDocument` throw.
 */
export async function status(
  context: AdminContext,
  flags: StatusFlags & { readonly output: OutputFormat },
): Promise<boolean> {
  const store = await context.openStore(flags.keyring, flags)
  try {
    const seen = await look(context, { store, flags })
    const value: Status = { ...seen, warnings: warningsOf(seen, flags) }
    await print(context.terminal, {
      format: flags.output,
      value,
      table: () => statusRows(value, context.now()),
    })
    if (flags.output === 'table') {
      for (const { message, remedy } of value.warnings) {
        context.terminal.say(`warning: ${message}; ${remedy}`)
      }
    }
    return value.warnings.length === 0
  } finally {
    store.close?.()
  }
}

async function look(
  context: AdminContext,
  { store, flags }: { readonly store: KeyringStore; readonly flags: StatusFlags },
): Promise<Omit<Status, 'warnings'>> {
  const stored = await store.load()
  if (stored === undefined) {
    throw new LatchkeyError('ERR_KEYRING_NOT_FOUND', `there is no keyring in ${store.location}`, {
      hint: 'name the keyring whose keys encrypt this cluster',
    })
  }
  const { body } = parseDocument(stored.bytes, 'keyring')
  const active = body.keys.find(({ state }) => state === 'active')
  if (active === undefined) throw new TypeError('a parsed document has an active key')
  const staged = body.keys.find(({ state }) => state === 'staged')
  const count = (state: string): number => body.keys.filter((key) => key.state === state).length
  const dayMs = 86_400_000
  const beside = await withAnnex(context, flags, async (annex) => ({
    rotation: await new Journal(annex, context.now).open(),
    snapshots: await new BackupRegister(annex).list(),
  }))
  return {
    keyring: store.location,
    clusterId: body.clusterId,
    generation: body.generation,
    activeKey: {
      id: active.id,
      since: active.changedAt,
      sinceDays: Math.max(0, Math.floor((context.now() - Date.parse(active.changedAt)) / dayMs)),
    },
    stagedKey: staged === undefined ? null : { id: staged.id, since: staged.changedAt },
    formerKeys: {
      superseded: count('superseded'),
      retired: count('retired'),
      destroyed: count('destroyed'),
    },
    rotation:
      beside.rotation === undefined
        ? null
        : { since: beside.rotation.startedAt, keyId: beside.rotation.keyId ?? null },
    nodes: await nodesOf(store, sha256Label(stored.bytes)),
    snapshots: {
      total: beside.snapshots.length,
      keys: new Set(beside.snapshots.flatMap(({ keyIds }) => keyIds)).size,
    },
  }
}

async function nodesOf(store: KeyringStore, digest: string): Promise<Status['nodes']> {
  if (store.members === undefined) return null
  const { members } = await store.members.list()
  return {
    total: members.length,
    silent: members.filter(({ alive }) => !alive).map(({ name }) => name),
    behind: missingAcknowledgements(members, digest).map(({ name }) => name),
  }
}
