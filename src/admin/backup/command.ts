import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { basename, resolve } from 'node:path'
import { LatchkeyError } from '../../base/errors.ts'
import { rfc3339 } from '../../base/clock.ts'
import { diskError } from '../../clients/disk.ts'
import { keysInUse, scan, unknownKeys } from '../../storage/scan.ts'
import { withAnnex } from '../annex.ts'
import type { AdminContext, EtcdKeyringFlags } from '../context.ts'
import { snapshotSource } from '../etcd/snapshot-source.ts'
import { age, print, type OutputFormat } from '../output.ts'
import { BackupRegister } from './register.ts'

/** Which keyring a backup belongs to. */
export interface BackupFlags extends EtcdKeyringFlags {
  readonly keyring: string
}

/**
 * `latchkey backup register`: reads a snapshot of etcd, and remembers beside the keyring which keys
 * it needs, so that none of them is destroyed while it is kept.
 *
 * @throws `ERR_SNAPSHOT_*` for a file that is none; `ERR_USAGE` as {@link BackupRegister.add}.
 */
export async function backupRegister(
  context: AdminContext,
  flags: BackupFlags & {
    readonly snapshot: string
    readonly name: string | undefined
    readonly prefix: string
    readonly signal: AbortSignal
  },
): Promise<void> {
  const path = resolve(context.cwd, flags.snapshot)
  const source = snapshotSource(path)
  const report = await scan([source], { prefix: flags.prefix, signal: flags.signal })
  const unreadable = unknownKeys(report)
  const { digest, bytes } = await digestOf(path)
  const entry = {
    name: flags.name ?? basename(path),
    digest,
    bytes,
    revision: source.facts.revision,
    keyIds: [...keysInUse(report, { history: true }).keys()].sort(),
    ...(unreadable === 0 ? {} : { unreadable }),
    registeredAt: rfc3339(context.now()),
  }
  const backup = await withRegister(context, flags, (register) => register.add(entry))
  if (unreadable > 0) {
    context.terminal.say(
      `warning: which keys ${unreadable} encrypted value(s) in it need cannot be told: no key is destroyed on proof while it is registered`,
    )
  }
  context.terminal.say(
    `${backup.name}: revision ${backup.revision}, needs ${backup.keyIds.length} key(s): ${backup.keyIds.join(', ') || 'none'}`,
  )
  context.terminal.data(backup.digest)
}

/** `latchkey backup list`. */
export async function backupList(
  context: AdminContext,
  flags: BackupFlags & { readonly output: OutputFormat },
): Promise<void> {
  const backups = await withRegister(context, flags, (register) => register.list())
  await print(context.terminal, {
    format: flags.output,
    value: { backups },
    table: () => [
      ['SNAPSHOT', 'REVISION', 'REGISTERED', 'KEYS'],
      ...backups.map(({ name, revision, registeredAt, keyIds }) => [
        name,
        String(revision),
        age(registeredAt, context.now()),
        keyIds.join(','),
      ]),
    ],
  })
}

/** `latchkey backup remove`. */
export async function backupRemove(
  context: AdminContext,
  flags: BackupFlags & { readonly name: string },
): Promise<void> {
  await withRegister(context, flags, (register) => register.remove(flags.name))
  context.terminal.say(`${flags.name} is not registered any more: it no longer keeps a key alive.`)
}

async function withRegister<Result>(
  context: AdminContext,
  flags: BackupFlags,
  body: (register: BackupRegister) => Promise<Result>,
): Promise<Result> {
  const store = await context.openStore(flags.keyring, flags)
  try {
    if ((await store.load()) === undefined) {
      throw new LatchkeyError('ERR_KEYRING_NOT_FOUND', `there is no keyring in ${store.location}`, {
        hint: 'name the keyring whose keys encrypt this cluster',
      })
    }
  } finally {
    store.close?.()
  }
  return await withAnnex(context, flags, (annex) => body(new BackupRegister(annex)))
}

async function digestOf(
  path: string,
): Promise<{ readonly digest: string; readonly bytes: number }> {
  const hash = createHash('sha256')
  let bytes = 0
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      hash.update(chunk)
      bytes += chunk.byteLength
    }
  } catch (error) {
    throw diskError(error, path)
  }
  return { digest: `sha256:${hash.digest('hex')}`, bytes }
}
