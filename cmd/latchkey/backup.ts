import { Command } from 'commander'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { defaultPrefix } from '../../src/storage/resource.ts'
import { interruptible } from '../interruptible.ts'
import { processContext } from '../process-context.ts'
import { settle, withKeyringPlace } from './options.ts'

interface Options {
  readonly keyring: string
  readonly prefix: string
  readonly name?: string
  readonly output: string
}

/** `latchkey backup …`: which snapshots of etcd are kept, and which keys they need. */
export function backupCommand(): Command {
  const backup = new Command('backup').description(
    'snapshots of etcd that are kept, and the keys that they need',
  )
  withKeyringPlace(backup.command('register'))
    .description('read a snapshot, and keep the keys that it needs from being destroyed')
    .argument('<snapshot>', 'the file')
    .option('--name <name>', "what to call it; default: the file's name")
    .option('--prefix <prefix>', "the API servers' --etcd-prefix", defaultPrefix)
    .action(async (snapshot: string, _options, command: Command) => {
      const { backupRegister } = await import('../../src/admin/backup/command.ts')
      const options = await settle<Options>(command, ['keyring'])
      await interruptible('nothing was registered: repeat the command', async (signal) => {
        const flags = { ...options, name: options.name, snapshot, signal }
        await backupRegister(processContext(), flags)
      })
    })
  withKeyringPlace(backup.command('list'))
    .description('list the registered snapshots')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .action(async (_options, command: Command) => {
      const { backupList } = await import('../../src/admin/backup/command.ts')
      const options = await settle<Options>(command, ['keyring'])
      const output = parseOutputFormat(options.output)
      await backupList(processContext(), { ...options, output })
    })
  withKeyringPlace(backup.command('remove'))
    .description('say that a snapshot is no longer kept')
    .argument('<name>', 'as it is listed')
    .action(async (name: string, _options, command: Command) => {
      const { backupRemove } = await import('../../src/admin/backup/command.ts')
      const options = await settle<Options>(command, ['keyring'])
      await backupRemove(processContext(), { ...options, name })
    })
  return backup
}
