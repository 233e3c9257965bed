import { LatchkeyError } from '../../base/errors.ts'
import { print, type OutputFormat } from '../output.ts'
import type { Terminal } from '../terminal.ts'
import { lintText, type LintReport } from './check.ts'

/** What the command needs from the process. */
export interface LintContext {
  readonly terminal: Terminal
  /**
   * The text of a file, or of standard input for `-`.
   *
   * @throws `ERR_CONFIG_INVALID`
   */
  readonly readText: (file: string) => Promise<string>
}

/** What `latchkey lint` is given. */
export interface LintFlags {
  /** Manifest files; `-` is standard input. */
  readonly files: readonly string[]
  readonly output: OutputFormat
}

/**
 * `latchkey lint`: checks the lists of secrets in manifests and prints a line for each finding,
 * `FILE:LINE: SUBJECT: PROBLEM; FIX`. What is merely unwise goes to the terminal's other side.
 *
 * @returns whether nothing was found.
 * @throws `ERR_USAGE` without files, `ERR_CONFIG_INVALID` for one that cannot be read.
 */
export async function lint(context: LintContext, flags: LintFlags): Promise<boolean> {
  if (flags.files.length === 0) {
    throw new LatchkeyError('ERR_USAGE', 'no file was named', {
      hint: 'name manifest files, or - for standard input',
    })
  }
  const reports: (LintReport & { readonly file: string })[] = []
  for (const file of flags.files) {
    reports.push({ file, ...lintText(await context.readText(file)) })
  }
  const findings = reports.flatMap(({ file, findings: found }) =>
    found.map((finding) => ({ file, ...finding })),
  )
  const warnings = reports.flatMap(({ file, warnings: found }) =>
    found.map((warning) => ({ file, ...warning })),
  )
  await print(context.terminal, {
    format: flags.output,
    value: { findings, warnings },
    table: () =>
      findings.map(({ file, line, subject, problem, fix }) => [
        `${file}:${line}: ${subject}: ${problem}; ${fix}`,
      ]),
  })
  if (flags.output === 'table') {
    for (const { file, line, message } of warnings) {
      context.terminal.say(`${file}:${line}: warning: ${message}`)
    }
  }
  const lists = reports.reduce((sum, report) => sum + report.lists, 0)
  context.terminal.say(
    `${lists} list(s) of secrets in ${reports.length} file(s), ${findings.length} finding(s)`,
  )
  return findings.length === 0
}
