import * as fs from 'node:fs/promises'
import { resolve } from 'node:path'
import { LatchkeyError } from '../../base/errors.ts'
import { createFile } from '../../clients/disk.ts'
import { restoreBackup, sealBackup } from '../../keyring/generations.ts'
import { Keyring } from '../../keyring/keyring.ts'
import type { AdminContext, KeyringFlags } from '../context.ts'
import { openCurrent, publish } from './current.ts'
import { openBackup, readDocument, type BackupSource } from './open-backup.ts'
import { openWithShares, writeShares } from './shares.ts'

/** Flags of `latchkey keys backup`. */
export interface BackupFlags extends KeyringFlags {
  readonly out: string
  readonly passphraseFile?: string | undefined
  /** How many shares to split the backup's key into, and how many of them join it; with a directory for them. */
  readonly split?:
    { readonly count: number; readonly threshold: number; readonly directory: string } | undefined
}

/**
 * `latchkey keys backup`: one file, mode 0600, that opens with the passphrase, or with enough shares,
 * or with either.
 *
 * @throws `ERR_USAGE` when a file exists: neither backups nor shares are ever overwritten.
 */
export async function keysBackup(context: AdminContext, flags: BackupFlags): Promise<void> {
  const path = resolve(context.cwd, flags.out)
  if (flags.passphraseFile === undefined && flags.split === undefined) {
    throw new LatchkeyError('ERR_USAGE', 'nothing is named that opens the backup', {
      hint: 'name --passphrase-file, or --shares, --threshold and --share-dir',
    })
  }
  // Before shares are made: those of a backup that cannot be written would only confuse.
  if (await fs.lstat(path).then(Boolean, () => false)) throw exists(path)
  using current = await openCurrent(context, flags)
  const passphrase =
    flags.passphraseFile === undefined
      ? undefined
      : await context.openRoot(`passphrase:${flags.passphraseFile}`)
  const split = flags.split && (await writeShares(context, flags.split))
  const roots = [passphrase, split?.root].filter((root) => root !== undefined)
  const bytes = await sealBackup(current.keyring, roots, context)
  if (!(await createFile(path, bytes, { ...context, mode: 0o600 }))) throw exists(path)
  // What was written is opened again, each way: a backup that does not open is none.
  const written = await readDocument(path)
  if (passphrase !== undefined) {
    using _check = await Keyring.open(written, { roots: [passphrase], kind: 'backup' })
  }
  if (split !== undefined) await openWithShares(context, written, split)
  const { keys, generation } = current.keyring
  context.terminal.say(
    `${path}: ${keys.length} key(s) of generation ${generation}, opened again and verified`,
  )
  if (split !== undefined) {
    for (const name of split.paths) context.terminal.data(name)
    context.terminal.say(
      `Any ${split.threshold} of these ${split.paths.length} shares open it. Give each to another person, remove the files here, and hold a drill with "latchkey keys shares".`,
    )
  }
  if (passphrase !== undefined) {
    context.terminal.say(
      'Keep it and the passphrase apart from each other and from etcd snapshots.',
    )
  }
}

function exists(path: string): LatchkeyError {
  return new LatchkeyError('ERR_USAGE', `${path} exists already`, {
    hint: 'name a new file: an older backup may be the only one that holds a destroyed key',
  })
}

/** Flags of `latchkey keys restore`. */
export interface RestoreFlags extends KeyringFlags, BackupSource {}

/** `latchkey keys restore`: a new keyring, under a new root, from a backup and what opens it. */
export async function keysRestore(context: AdminContext, flags: RestoreFlags): Promise<void> {
  const store = await context.openStore(flags.keyring, flags)
  if ((await store.load()) !== undefined) {
    throw new LatchkeyError(
      'ERR_KEYRING_EXISTS',
      `there is a keyring in ${store.location} already`,
      {
        hint: 'name an empty directory, or merge the backup into the keyring with "latchkey keys adopt --from"',
      },
    )
  }
  using backup = await openBackup(context, flags)
  const roots = await Promise.all(
    flags.root.map((spec) => context.openRoot(spec, { create: true })),
  )
  const used = (await store.highWater())?.generation ?? 0
  const next = await restoreBackup(backup, roots, { ...context, minGeneration: used + 1 })
  await publish(context, next, { store, replaces: undefined })
  context.terminal.say(
    `keyring ${store.location}: generation ${next.generation}, ${backup.keys.length} key(s), cluster ${backup.clusterId}`,
  )
  context.terminal.say(
    `Keys made after generation ${backup.generation} are not in this backup: "latchkey doctor" tells whether etcd needs one.`,
  )
  context.terminal.data(backup.active.id)
}
