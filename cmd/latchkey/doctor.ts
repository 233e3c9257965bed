import { Command } from 'commander'
import type { DoctorFlags } from '../../src/admin/doctor/doctor.ts'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { exitCodes } from '../../src/base/exit-code.ts'
import { processContext } from '../process-context.ts'
import { version } from '../version.ts'
import { parseMaxKeyAge } from './max-key-age.ts'
import { refuseIdle } from './idle-options.ts'
import { settle, withKeyring } from './options.ts'

type Options = Omit<DoctorFlags, 'output' | 'maxKeyAgeDays'> & {
  readonly output: string
  readonly maxKeyAge: string
}

/** `latchkey doctor`: what is wrong with encryption at rest here, and what to do about it. */
export function doctorCommand(): Command {
  return withKeyring(new Command('doctor'))
    .description('look at keyring, root, socket, EncryptionConfiguration; say what to mend')
    .option('--listen <endpoint>', "the plugin's endpoint, unix:///PATH")
    .option('--encryption-config <file>', "the API server's EncryptionConfiguration")
    .option('--api-server-manifest <file>', 'static pod manifest of kube-apiserver')
    .option('--max-key-age <days>', 'how long a key may be active', '90')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .action(async (_options, command: Command) => {
      const { doctor } = await import('../../src/admin/doctor/doctor.ts')
      const settled = await settle<Options>(command, [])
      if (settled.keyring === undefined) {
        refuseIdle(command, ['max-key-age'], {
          because: 'does nothing without --keyring',
          hint: 'name the keyring whose active key is to be judged, or leave it out',
        })
      }
      const flags = {
        ...settled,
        output: parseOutputFormat(settled.output),
        maxKeyAgeDays: parseMaxKeyAge(settled.maxKeyAge),
      }
      const versions = { node: process.versions.node, latchkey: version }
      const healthy = await doctor(processContext(), { flags, versions })
      if (!healthy) process.exitCode = exitCodes.failed
    })
}
