import type { ByteWriter } from './byte-writer.ts'
import { isText, writeEscaping } from './code-points.ts'
import type { EncodeSecret, KeyValue } from './formats.ts'
import { refuse } from './refusal.ts'

/** The escapes of YAML 1.1 and 1.2 that have a short form in both (YAML 1.2.2 §5.7). */
const short: Readonly<Record<number, string>> = {
  0x00: '\\0',
  0x07: '\\a',
  0x08: '\\b',
  0x09: '\\t',
  0x0a: '\\n',
  0x0b: '\\v',
  0x0c: '\\f',
  0x0d: '\\r',
  0x1b: '\\e',
  0x22: '\\"',
  0x5c: '\\\\',
}

/**
 * One YAML mapping. Every key and value is a double-quoted scalar on one line, so that none is taken
 * for a number, a boolean, a date or a comment by any version of YAML.
 */
export const encodeYaml: EncodeSecret = (entries, out) => {
  if (entries.length === 0) out.text('{}\n')
  for (const entry of entries) {
    out.text(`${JSON.stringify(entry.key)}: `)
    writeYamlText(entry, 'yaml', out)
    out.text('\n')
  }
}

/** One value as a double-quoted YAML scalar. */
export function writeYamlText(entry: KeyValue, format: string, out: ByteWriter): void {
  const bytes = entry.value.expose()
  if (!isText(bytes)) throw refuse(entry.key, format, 'it is not UTF-8 text')
  out.text('"')
  writeEscaping(bytes, out, escapeOf)
  out.text('"')
}

function escapeOf(point: number): string | undefined {
  const escaped = short[point]
  if (escaped !== undefined) return escaped
  if (isPrintable(point)) return undefined
  const [letter, digits] = point <= 0xff ? ['x', 2] : ['u', 4]
  return `\\${letter}${point.toString(16).padStart(digits, '0')}`
}

/** What YAML 1.2.2 §5.1 lets stand unescaped, less what some reader takes for a line end or drops. */
function isPrintable(point: number): boolean {
  if (point < 0xa0) return point >= 0x20 && point <= 0x7e
  return ![0xfeff, 0x2028, 0x2029, 0xfffe, 0xffff].includes(point)
}
