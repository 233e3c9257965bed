import type { Command } from 'commander'
import { resolve } from 'node:path'
import type { EtcdKeyringFlags } from '../../src/admin/context.ts'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import { defaultPrefix } from '../../src/storage/resource.ts'
import { interruptible } from '../interruptible.ts'
import { processContext } from '../process-context.ts'
import { prefixOf } from './etcd-prefix.ts'
import { refuseIdle } from './idle-options.ts'
import { repeatable, settle } from './options.ts'

interface Options extends EtcdKeyringFlags {
  readonly check?: string
  readonly from?: string
  readonly out?: string
  readonly passphraseFile?: string
  readonly share: readonly string[]
  readonly keyring?: string
  readonly root: readonly string[]
  readonly prefix: string
  readonly output: string
}

/** Adds to `latchkey keys backup` the options of {@link checkAgainstSnapshot}. */
export function withBackupCheck(command: Command): Command {
  return command
    .option('--check <snapshot>', 'see first whether the backup has every key the snapshot needs')
    .option('--from <file>', 'with --check: the backup that is there, instead of a new one')
    .addOption(
      repeatable('--share <file>', 'with --from: shares that open it; - for standard input'),
    )
    .option('--prefix <prefix>', "with --check: the API servers' --etcd-prefix", defaultPrefix)
    .option('-o, --output <format>', 'with --check: table, json or yaml', 'table')
    .addHelpText(
      'after',
      '\nWith --check it exits with 3 when an object of the snapshot could not be read with the backup,\nor when there is none to try.',
    )
}

/**
 * Refuses options of `latchkey keys backup` that would do nothing: those of `--check` without it, and
 * with it those of a new backup that is neither made nor tried.
 *
 * @throws `ERR_USAGE`.
 */
export function refuseIdleInBackup(command: Command): void {
  const { check, from, out } = command.opts<Partial<Options>>()
  if (check === undefined) {
    refuseIdle(command, ['from', 'share', 'prefix', 'output'], {
      because: 'does nothing without --check',
      hint: 'add --check SNAPSHOT to see whether a backup has every key that the snapshot needs, or leave it out: the new backup is of --keyring',
    })
    return
  }
  if (from === undefined) {
    refuseIdle(command, ['share'], {
      because: 'opens a backup, and none is named',
      hint: 'name the backup with --from',
    })
  }
  if (out !== undefined) return
  const unmade = { because: 'is for a new backup, and none is made' }
  refuseIdle(command, ['shares', 'threshold', 'share-dir'], {
    ...unmade,
    hint: 'name the backup to write with --out, or leave it out',
  })
  if (from === undefined) {
    refuseIdle(command, ['passphrase-file'], {
      because: 'opens nothing: no backup is named',
      hint: 'name the backup that is there with --from, or the one to write with --out',
    })
  } else {
    refuseIdle(command, ['keyring', 'root'], {
      because: 'is not looked at: --from is what is tried',
      hint: 'leave it out to try the backup of --from, or leave out --from to try the keyring',
    })
  }
}

/**
 * What `--check` asks for: whether a backup, or without `--from` one that would be made of the keyring
 * now, opens what the snapshot holds.
 *
 * @throws `ERR_WOULD_LOSE_DATA` when it does not; `ERR_USAGE`.
 */
export async function checkAgainstSnapshot(command: Command): Promise<void> {
  const options = await settle<Options>(command, ['check'])
  const { checkBackup, presentBackupCheck } = await import('../../src/admin/keys/backup-check.ts')
  const { openBackup } = await import('../../src/admin/keys/open-backup.ts')
  const { openCurrent } = await import('../../src/admin/keys/current.ts')
  const { snapshotSource } = await import('../../src/admin/etcd/snapshot-source.ts')
  const context = processContext()
  const output = parseOutputFormat(options.output)
  const { check = '', from, passphraseFile, share, keyring, root } = options
  using current =
    from === undefined && keyring !== undefined && root.length > 0
      ? await openCurrent(context, { ...options, keyring, root })
      : undefined
  using backup =
    from === undefined ? undefined : await openBackup(context, { from, passphraseFile, share })
  const keys = current?.keyring ?? backup
  if (keys === undefined) {
    throw new LatchkeyError('ERR_USAGE', 'nothing is named that --check could look into', {
      hint: 'name a backup with --from and --passphrase-file or --share, or a keyring with --keyring and --root',
    })
  }
  const found = await interruptible('run it again: it has changed nothing', (signal) =>
    checkBackup(context, {
      backup: keys,
      source: snapshotSource(resolve(context.cwd, check)),
      prefix: prefixOf(options.prefix),
      signal,
    }),
  )
  await presentBackupCheck(context, found, output)
}
