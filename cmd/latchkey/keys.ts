import { Command } from 'commander'
import type { AdoptFlags } from '../../src/admin/keys/adopt.ts'
import type { BackupFlags, RestoreFlags } from '../../src/admin/keys/backup.ts'
import type { KeyringFlags } from '../../src/admin/context.ts'
import type { InitFlags } from '../../src/admin/keys/init.ts'
import type { SharesFlags } from '../../src/admin/keys/shares.ts'
import type { RewrapFlags } from '../../src/admin/keys/rewrap.ts'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import { exitCodes } from '../../src/base/exit-code.ts'
import { processContext } from '../process-context.ts'
import { addKeysRemovals } from './keys-removals.ts'
import { addKeysRotate } from './keys-rotate.ts'
import { addKeysMoves } from './keys-moves.ts'
import { nodesCommand } from './keys-nodes.ts'
import { isInEtcd } from '../../src/keyring/place.ts'
import { refuseIdle } from './idle-options.ts'
import { checkAgainstSnapshot, refuseIdleInBackup, withBackupCheck } from './keys-backup-check.ts'
import { repeatable, settle, withBackup, withConfig, withKeyring } from './options.ts'

const keyringAndRoot = ['keyring', 'root'] as const

/** `latchkey keys …`: the keyring and its life cycle. */
export function keysCommand(): Command {
  const keys = new Command('keys').description('master keys: create, rotate, back up, restore')
  addSafeCommands(keys)
  addKeysRotate(keys)
  addKeysRemovals(keys)
  addCopies(keys)
  addKeysMoves(keys)
  keys.addCommand(nodesCommand())
  return keys
}

function addSafeCommands(keys: Command): void {
  withKeyring(keys.command('init'))
    .description('create a keyring with one active key; prints the key id')
    .option('--cluster-id <name>', 'name of the cluster, for good; default: random')
    .action(async (_options, command: Command) => {
      const { keysInit } = await import('../../src/admin/keys/init.ts')
      await keysInit(processContext(), await settle<InitFlags>(command, keyringAndRoot))
    })
  withKeyring(keys.command('list'))
    .description('list keys and their states')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .action(async (_options, command: Command) => {
      const { keysList } = await import('../../src/admin/keys/list.ts')
      const flags = await settle<KeyringFlags & { output: string }>(command, keyringAndRoot)
      await keysList(processContext(), { ...flags, output: parseOutputFormat(flags.output) })
    })
  withKeyring(keys.command('stage'))
    .description('add a key that can decrypt everywhere before any node encrypts with it')
    .action(async (_options, command: Command) => {
      const { keysStage } = await import('../../src/admin/keys/change.ts')
      await keysStage(processContext(), await settle<KeyringFlags>(command, keyringAndRoot))
    })
  withKeyring(keys.command('activate'))
    .description('encrypt with the staged key; the active key becomes superseded')
    .action(async (_options, command: Command) => {
      const { keysActivate } = await import('../../src/admin/keys/change.ts')
      await keysActivate(processContext(), await settle<KeyringFlags>(command, keyringAndRoot))
    })
  withKeyring(keys.command('rewrap'))
    .description('change the roots that open the keyring; etcd is not touched')
    .addOption(repeatable('--new-root <root>', 'the only roots from now on'))
    .addOption(repeatable('--add-root <root>', 'one more root beside the present ones'))
    .action(async (_options, command: Command) => {
      const { keysRewrap } = await import('../../src/admin/keys/rewrap.ts')
      await keysRewrap(processContext(), await settle<RewrapFlags>(command, keyringAndRoot))
    })
}

function addCopies(keys: Command): void {
  withBackupCheck(withKeyring(keys.command('backup')))
    .description('write one encrypted file that restores the keyring without its root')
    .option('--out <file>', 'the backup to write; must not exist')
    .option('--passphrase-file <file>', 'file that holds the passphrase, or fd:N')
    .option('--shares <count>', 'split its key into so many shares, 2 to 32')
    .option('--threshold <count>', 'so many shares open it, and fewer tell nothing')
    .option('--share-dir <dir>', 'where the shares are written, a file for each')
    .action(async (_options, command: Command) => {
      refuseIdleInBackup(command)
      const { check, out } = command.opts<{ check?: string; out?: string }>()
      if (check !== undefined) await checkAgainstSnapshot(command)
      if (check !== undefined && out === undefined) return
      const { keysBackup } = await import('../../src/admin/keys/backup.ts')
      const flags = await settle<BackupOptions>(command, [...keyringAndRoot, 'out'])
      await keysBackup(processContext(), { ...flags, split: splitOf(flags) })
    })
  withBackup(withKeyring(keys.command('restore')))
    .description('make a new keyring, under a new root, from a backup')
    .option('--from <file>', 'the backup')
    .action(async (_options, command: Command) => {
      const { keysRestore } = await import('../../src/admin/keys/backup.ts')
      const required = [...keyringAndRoot, 'from']
      await keysRestore(processContext(), await settle<RestoreFlags>(command, required))
    })
  withBackup(withKeyring(keys.command('adopt')))
    .description('merge a diverged copy, another keyring or a backup into this one')
    .option('--from <place>', 'the other keyring, or a backup')
    .addOption(repeatable('--from-root <root>', "what opens the other keyring; default: --root's"))
    .option('--yes', 'do not ask', false)
    .action(async (_options, command: Command) => {
      const { keysAdopt } = await import('../../src/admin/keys/adopt.ts')
      const flags = await settle<AdoptFlags>(command, [...keyringAndRoot, 'from'])
      if (!isInEtcd(flags.keyring)) {
        refuseIdle(command, ['local-copy'], {
          because: 'is of a keyring in etcd, and --keyring is a directory',
          hint: 'leave it out: the other keyring is read from etcd itself',
        })
      }
      await keysAdopt(processContext(), flags)
    })
  withConfig(keys.command('shares'))
    .description(
      'try shares against a backup without joining them; exits with 4 if one is not good',
    )
    .option('--from <file>', 'the backup')
    .addOption(repeatable('--share <file>', 'a share; - for standard input'))
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .action(async (_options, command: Command) => {
      const { keysShares } = await import('../../src/admin/keys/shares.ts')
      const flags = await settle<SharesFlags & { output: string }>(command, ['from', 'share'])
      const output = parseOutputFormat(flags.output)
      if (!(await keysShares(processContext(), { ...flags, output }))) {
        process.exitCode = exitCodes.unexpected
      }
    })
}

type BackupOptions = Omit<BackupFlags, 'split'> & {
  readonly shares?: string
  readonly threshold?: string
  readonly shareDir?: string
}

function splitOf({ shares, threshold, shareDir }: BackupOptions): BackupFlags['split'] {
  if (shares === undefined && threshold === undefined && shareDir === undefined) return undefined
  if (shares === undefined || threshold === undefined || shareDir === undefined) {
    throw new LatchkeyError('ERR_USAGE', '--shares, --threshold and --share-dir go together', {
      hint: 'as in: --shares 5 --threshold 3 --share-dir ./shares',
    })
  }
  const number = (text: string): number => (/^[0-9]{1,3}$/.test(text) ? Number(text) : NaN)
  return { count: number(shares), threshold: number(threshold), directory: shareDir }
}
