import { LatchkeyError } from '../base/errors.ts'
import type { Terminal } from './terminal.ts'

/** How a command prints what it found. */
export type OutputFormat = (typeof outputFormats)[number]

/** The values of `-o`. */
export const outputFormats = ['table', 'json', 'yaml'] as const

/** Reads `-o`. Throws `ERR_USAGE`. */
export function parseOutputFormat(text: string): OutputFormat {
  const format = outputFormats.find((name) => name === text)
  if (format !== undefined) return format
  throw new LatchkeyError('ERR_USAGE', 'the output format of -o is unknown', {
    hint: `use one of ${outputFormats.join(', ')}`,
  })
}

/** Prints `value` as JSON or YAML, or the rows that stand for it as a table. */
export async function print(
  terminal: Terminal,
  options: {
    readonly format: OutputFormat
    readonly value: unknown
    readonly table: () => readonly (readonly string[])[]
  },
): Promise<void> {
  switch (options.format) {
    case 'json':
      terminal.data(JSON.stringify(options.value))
      return
    case 'yaml': {
      const { stringify } = await import('yaml')
      terminal.data(stringify(options.value).trimEnd())
      return
    }
    case 'table':
      for (const line of alignColumns(options.table())) terminal.data(line)
  }
}

/** Rows as lines, columns padded to the widest cell and three spaces apart, as kubectl prints them. */
export function alignColumns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [index, cell] of row.entries()) {
      widths[index] = Math.max(widths[index] ?? 0, cell.length)
    }
  }
  return rows.map((row) =>
    row
      .map((cell, index) => cell.padEnd((widths[index] ?? 0) + 3))
      .join('')
      .trimEnd(),
  )
}

/** How long ago `since` was, as kubectl says it: `45s`, `12m`, `7h`, `30d`. */
export function age(since: string, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(since)) / 1000))
  if (seconds < 120) return `${seconds}s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`
  return `${Math.floor(seconds / 86_400)}d`
}
