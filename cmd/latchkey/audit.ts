import { Command } from 'commander'
import type { AuditVerifyFlags } from '../../src/admin/audit/verify.ts'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { exitCodes } from '../../src/base/exit-code.ts'
import { processContext } from '../process-context.ts'
import { repeatable, settle, withConfig } from './options.ts'

/** `latchkey audit …`: what the programs recorded, and whether it is still what they recorded. */
export function auditCommand(): Command {
  const audit = new Command('audit').description('the audit files of broker and webhook')
  withConfig(audit.command('verify'))
    .description('find edits, reorders, gaps and cuts in audit files')
    .argument('<file...>', 'audit files, oldest first')
    .addOption(repeatable('--key <key>', 'public key that every chain must have'))
    .option('--heads <file>', 'exported heads, one JSON object a line')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .action(async (files: readonly string[], _options, command: Command) => {
      const { auditVerify } = await import('../../src/admin/audit/verify.ts')
      type Settled = Omit<AuditVerifyFlags, 'output' | 'files'> & { output: string }
      const settled = await settle<Settled>(command, [])
      const flags = { ...settled, files, output: parseOutputFormat(settled.output) }
      if (!(await auditVerify(processContext(), flags))) process.exitCode = exitCodes.failed
    })
  return audit
}
