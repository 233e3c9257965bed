import type { Command } from 'commander'
import type { KeyringFlags } from '../../src/admin/context.ts'
import { processContext } from '../process-context.ts'
import { settle, withKeyring } from './options.ts'

const keyringAndRoot = ['keyring', 'root'] as const

/** Adds `latchkey keys import` and `latchkey keys export`. */
export function addKeysMoves(keys: Command): void {
  withKeyring(keys.command('import'))
    .description('begin a keyring with what another place holds: from a directory to etcd, or back')
    .option('--from <place>', 'directory of the keyring, or etcd:https://HOST:PORT[,…]/PREFIX')
    .action(async (_options, command: Command) => {
      const { keysImport } = await import('../../src/admin/keys/copy.ts')
      const required = [...keyringAndRoot, 'from']
      const flags = await settle<KeyringFlags & { from: string }>(command, required)
      await keysImport(processContext(), flags)
    })
  withKeyring(keys.command('export'))
    .description('copy the keyring as it is to another, empty place')
    .option('--to <place>', 'directory for the keyring, or etcd:https://HOST:PORT[,…]/PREFIX')
    .action(async (_options, command: Command) => {
      const { keysExport } = await import('../../src/admin/keys/copy.ts')
      const flags = await settle<KeyringFlags & { to: string }>(command, [...keyringAndRoot, 'to'])
      await keysExport(processContext(), flags)
    })
}
