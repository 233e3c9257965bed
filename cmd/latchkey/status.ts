import { Command } from 'commander'
import { parseOutputFormat } from '../../src/admin/output.ts'
import type { EtcdKeyringFlags } from '../../src/admin/context.ts'
import { exitCodes } from '../../src/base/exit-code.ts'
import { processContext } from '../process-context.ts'
import { parseMaxKeyAge } from './max-key-age.ts'
import { settle, withKeyringPlace } from './options.ts'

type Options = EtcdKeyringFlags & {
  readonly keyring: string
  readonly maxKeyAge: string
  readonly output: string
}

/** `latchkey status`: where the keyring stands. */
export function statusCommand(): Command {
  return withKeyringPlace(new Command('status'))
    .description(
      'where the keyring stands: keys, rotation, nodes, snapshots; exit code 4 with a warning',
    )
    .option('--max-key-age <days>', 'how long a key may be active', '90')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .action(async (_options, command: Command) => {
      const { status } = await import('../../src/admin/status/status.ts')
      const options = await settle<Options>(command, ['keyring'])
      const flags = {
        ...options,
        output: parseOutputFormat(options.output),
        maxKeyAgeDays: parseMaxKeyAge(options.maxKeyAge),
      }
      if (!(await status(processContext(), flags))) process.exitCode = exitCodes.unexpected
    })
}
