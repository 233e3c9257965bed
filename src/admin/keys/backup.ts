import * as fs from 'node:fs/promises'
import { resolve } from 'node:path'
import { LatchkeyError, systemCode } from '../../base/errors.ts'
import { createFile, diskError } from '../../clients/disk.ts'
import { maxDocumentBytes } from '../../keyring/document.ts'
import { restoreBackup, sealBackup } from '../../keyring/generations.ts'
import { Keyring } from '../../keyring/keyring.ts'
import type { AdminContext, KeyringFlags } from '../context.ts'
import { openCurrent, publish } from './current.ts'

/** Flags of `latchkey keys backup`. */
export interface BackupFlags extends KeyringFlags {
  readonly out: string
  readonly passphraseFile: string
}

/**
 * `latchkey keys backup`: one file that opens with the passphrase alone, mode 0600.
 *
 * @throws `ERR_USAGE` when the file exists: a backup is never overwritten.
 */
export async function keysBackup(context: AdminContext, flags: BackupFlags): Promise<void> {
  using current = await openCurrent(context, flags)
  const root = await context.openRoot(`passphrase:${flags.passphraseFile}`)
  const bytes = await sealBackup(current.keyring, [root], context)
  const path = resolve(context.cwd, flags.out)
  if (!(await createFile(path, bytes, { ...context, mode: 0o600 }))) {
    throw new LatchkeyError('ERR_USAGE', `${path} exists already`, {
      hint: 'name a new file: an older backup may be the only one that holds a destroyed key',
    })
  }
  // What was written is opened again: a backup that does not open is none.
  const written = await readDocument(path)
  using _check = await Keyring.open(written, { roots: [root], kind: 'backup' })
  context.terminal.say(
    `${path}: ${current.keyring.keys.length} key(s) of generation ${current.keyring.generation}, opened again and verified`,
  )
  context.terminal.say('Keep it and the passphrase apart from each other and from etcd snapshots.')
}

/** Flags of `latchkey keys restore`. */
export interface RestoreFlags extends KeyringFlags {
  readonly from: string
  readonly passphraseFile: string
}

/** `latchkey keys restore`: a new keyring, under a new root, from a backup and its passphrase. */
export async function keysRestore(context: AdminContext, flags: RestoreFlags): Promise<void> {
  const store = await context.openStore(flags.keyring)
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

/** Opens a backup. Throws `ERR_BACKUP_PASSPHRASE` when the passphrase does not open it. */
export async function openBackup(
  context: AdminContext,
  flags: { readonly from: string; readonly passphraseFile: string },
): Promise<Keyring> {
  const bytes = await readDocument(resolve(context.cwd, flags.from))
  const root = await context.openRoot(`passphrase:${flags.passphraseFile}`)
  try {
    return await Keyring.open(bytes, { roots: [root], kind: 'backup' })
  } catch (error) {
    if (error instanceof LatchkeyError && error.code === 'ERR_ROOT_WRONG') {
      throw new LatchkeyError('ERR_BACKUP_PASSPHRASE', 'the passphrase does not open this backup', {
        hint: 'name the passphrase file that the backup was made with',
      })
    }
    throw error
  }
}

async function readDocument(path: string): Promise<Uint8Array> {
  try {
    const { size } = await fs.stat(path)
    if (size <= maxDocumentBytes) return new Uint8Array(await fs.readFile(path))
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw diskError(error, path)
    throw new LatchkeyError('ERR_USAGE', `there is no file ${path}`)
  }
  throw new LatchkeyError('ERR_USAGE', `${path} is too large to be a backup`)
}
