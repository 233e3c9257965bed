import { resolve } from 'node:path'
import { LatchkeyError } from '../../base/errors.ts'
import { isAuditHead, maxLineBytes, type AuditHead } from '../../observe/audit-record.ts'
import {
  createAuditVerifier,
  type AuditChain,
  type AuditReport,
} from '../../observe/audit-verify.ts'
import type { AdminContext } from '../context.ts'
import { print, type OutputFormat } from '../output.ts'
import { readLines } from './lines.ts'

/** Flags of `latchkey audit verify`. */
export interface AuditVerifyFlags {
  /** Audit files, oldest first. */
  readonly files: readonly string[]
  /** Public keys that chains must have; none: any. */
  readonly key: readonly string[]
  /** File with exported heads, one JSON object a line. */
  readonly heads: string | undefined
  readonly output: OutputFormat
}

/**
 * `latchkey audit verify`: reads the files once, in bounded memory, and says what each chain proves.
 *
 * @returns whether nothing was changed, moved or cut, as far as can be known.
 * @throws `ERR_USAGE` for a file that is not there or heads that are none; `ERR_IO`.
 */
export async function auditVerify(
  context: AdminContext,
  flags: AuditVerifyFlags,
): Promise<boolean> {
  const heads = flags.heads === undefined ? [] : await readHeads(resolve(context.cwd, flags.heads))
  const verifier = createAuditVerifier({ keys: flags.key, heads })
  for (const file of flags.files) {
    for await (const line of readLines(resolve(context.cwd, file), maxLineBytes))
      verifier.line(line)
  }
  const report = verifier.finish()
  await print(context.terminal, {
    format: flags.output,
    value: report,
    table: () => rowsOf(report),
  })
  const { problems, torn, chains } = report
  const unanchored = chains.reduce((sum, chain) => sum + chain.unanchored, 0)
  for (const { kind, chain, line } of problems) {
    context.terminal.say(`problem: ${kind}, chain ${chain}${line > 0 ? `, line ${line}` : ''}`)
  }
  for (const line of torn) context.terminal.say(`torn: line ${line} was not written whole`)
  for (const chain of chains) for (const note of notesOn(chain)) context.terminal.say(note)
  if (unanchored > 0) {
    context.terminal.say(
      `unanchored: ${unanchored} line(s) after the last checkpoint prove nothing yet`,
    )
  }
  if (chains.length === 0) context.terminal.say('there is no audit chain in what was named')
  return problems.length === 0 && chains.length > 0
}

/** What is no problem in itself, and yet how a file looks whose beginning or end was taken away. */
function notesOn({ chain, firstSeq, afterShown, ended }: AuditChain): readonly string[] {
  return [
    ...(firstSeq > 0
      ? [`earlier: chain ${chain} has ${firstSeq} line(s) before these, in another file, or gone`]
      : []),
    ...(afterShown ? [] : [`earlier: what chain ${chain} began after is in another file, or gone`]),
    ...(ended
      ? []
      : [`open: chain ${chain} has no orderly end: it goes on, was broken off, or was cut`]),
  ]
}

function rowsOf(report: AuditReport): readonly (readonly string[])[] {
  return [
    ['CHAIN', 'LINES', 'FROM', 'TO', 'UNANCHORED', 'LOST', 'VERDICT'],
    ...report.chains.map((chain) => [
      chain.chain,
      String(chain.lines),
      chain.firstTime,
      chain.lastTime,
      String(chain.unanchored),
      String(chain.lost),
      report.problems.some((problem) => problem.chain === chain.chain) ? 'CHANGED' : 'intact',
    ]),
  ]
}

async function readHeads(path: string): Promise<readonly AuditHead[]> {
  const heads: AuditHead[] = []
  for await (const line of readLines(path, maxLineBytes)) {
    const head = parseHead(Buffer.from(line).toString('utf8'))
    if (head === undefined) {
      throw new LatchkeyError('ERR_USAGE', `${path} holds a line that is no head`, {
        hint: 'one JSON object a line with chain, seq and hash, as the log event audit.checkpoint has them',
      })
    }
    heads.push(head)
  }
  return heads
}

function parseHead(text: string): AuditHead | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isAuditHead(value) ? value : undefined
  } catch {
    return undefined
  }
}
