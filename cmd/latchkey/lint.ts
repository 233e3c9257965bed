import { Command } from 'commander'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { exitCodes } from '../../src/base/exit-code.ts'
import { processContext } from '../process-context.ts'
import { readText } from '../read-text.ts'

/** `latchkey lint`: what the webhook would say of manifests, before anybody applies them. */
export function lintCommand(): Command {
  return new Command('lint')
    .description('check the lists of secrets in manifests; exits with 1 when something is wrong')
    .argument('<file...>', 'manifests of workloads of any kind, YAML or JSON; - for standard input')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .action(async (files: readonly string[], options: { readonly output: string }) => {
      const { lint } = await import('../../src/admin/lint/lint.ts')
      const clean = await lint(
        { terminal: processContext().terminal, readText },
        { files, output: parseOutputFormat(options.output) },
      )
      if (!clean) process.exitCode = exitCodes.failed
    })
}
