import type { ErrorCode } from '../../../base/errors.ts'
import type { Unexpected } from '../../../storage/expectation.ts'
import type { ScanReport, UnexpectedObject } from '../../../storage/scan.ts'
import type { ScanRow } from '../../../storage/tally.ts'
import { print, type OutputFormat } from '../../output.ts'
import type { Terminal } from '../../terminal.ts'

/** Prints the report, and says to people what of it matters. */
export async function presentReport(
  terminal: Terminal,
  {
    report,
    named,
    output,
  }: {
    readonly report: ScanReport
    /** Some of the objects that are not as expected. */
    readonly named: readonly UnexpectedObject[]
    readonly output: OutputFormat
  },
): Promise<void> {
  await print(terminal, { format: output, value: report, table: () => rowsOf(report) })
  sayFacts(terminal, report)
  sayProof(terminal, report)
  sayUnexpected(terminal, report, named)
}

function rowsOf(report: ScanReport): readonly (readonly string[])[] {
  const cells = (row: ScanRow, what: string): readonly string[] => [
    row.resource,
    row.provider,
    row.keyId ?? '-',
    String(row.objects),
    String(row.bytes),
    what,
  ]
  return [
    ['RESOURCE', 'PROVIDER', 'KEY', 'OBJECTS', 'BYTES', 'WHAT'],
    ...report.resources.map((row) => cells(row, 'current')),
    ...report.undecodable.map((row) => cells(row, `undecodable: ${row.reason}`)),
    ...report.exempt.map((row) => cells(row, 'never encrypted')),
    ...(report.history ?? []).map((row) => cells(row, 'history')),
  ]
}

function sayFacts(terminal: Terminal, report: ScanReport): void {
  const { sources, outside, elsewhere, history } = report
  for (const { location, revision, compactedRevision, checksum } of sources) {
    const compacted =
      compactedRevision === undefined ? '' : `, compacted up to ${compactedRevision}`
    terminal.say(`${location}: revision ${revision}${compacted}`)
    if (checksum === 'missing') {
      terminal.say(
        `warning: ${location} has no checksum, so it is no file of "etcdctl snapshot save"; of an etcd that was running it may be torn or lack the newest writes`,
      )
    }
  }
  if (history === null) {
    terminal.say(
      'Superseded revisions were not looked at: a running etcd shows them in a snapshot alone.',
    )
  }
  if (outside.objects > 0) {
    terminal.say(
      `${outside.objects} key(s) with ${outside.bytes} bytes belong to no API server of this prefix.`,
    )
  }
  for (const { provider, keyId, objects } of elsewhere.filter(({ state }) => state === 'current')) {
    const key = keyId === undefined ? '' : ` under ${keyId}`
    terminal.say(
      `warning: ${objects} of them are encrypted (${provider}${key}): another --prefix has them`,
    )
  }
}

const causes: Partial<Record<ErrorCode, string>> = {
  ERR_KEY_UNKNOWN: 'the keyring does not have the key',
  ERR_KEY_DESTROYED: 'the key was destroyed',
  ERR_STORED_KEY_MISSING: 'another provider encrypted it, whose key is not at hand',
  ERR_CIPHERTEXT_INVALID: 'it was altered, moved, or encrypted for another cluster',
  ERR_CIPHERTEXT_VERSION: 'a newer release made it',
  ERR_ANNOTATION_UNKNOWN: 'another plugin made it',
}

function sayProof(terminal: Terminal, { proof }: ScanReport): void {
  if (proof === null) return
  const failed = proof.failures.reduce((sum, { objects }) => sum + objects, 0)
  terminal.say(`${proof.decrypted} encrypted object(s) decrypted, ${failed} did not`)
  for (const { resource, provider, keyId, objects, cause } of proof.failures) {
    const key = keyId === undefined ? '' : ` under ${keyId}`
    const why = causes[cause] ?? 'it cannot be opened'
    terminal.say(`problem: ${objects} of ${resource} (${provider}${key}): ${why} (${cause})`)
  }
}

const reasons: Readonly<Record<Unexpected, string>> = {
  key: 'under another key',
  provider: 'under another provider',
  plaintext: 'in plaintext',
  undecodable: 'undecodable',
}

function sayUnexpected(
  terminal: Terminal,
  { unexpected }: ScanReport,
  named: readonly UnexpectedObject[],
): void {
  const total = unexpected.reduce((sum, { objects }) => sum + objects, 0)
  if (total === 0) return
  for (const { resource, provider, keyId, objects, why } of unexpected) {
    const how = keyId === undefined ? provider : `${provider}, ${keyId}`
    terminal.say(`unexpected: ${objects} of ${resource} ${reasons[why]} (${how})`)
  }
  for (const { key, why } of named) terminal.say(`  ${printable(key)}: ${reasons[why]}`)
  if (total > named.length) terminal.say(`  and ${total - named.length} more`)
}

/** A key as a terminal may show it: whoever writes to etcd chooses its characters. */
export function printable(key: string): string {
  return key.replaceAll(/\p{C}/gu, '\u{fffd}')
}
