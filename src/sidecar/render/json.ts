import type { ByteWriter } from './byte-writer.ts'
import { isText, unicodeEscape, writeEscaping } from './code-points.ts'
import type { EncodeSecret, KeyValue } from './formats.ts'
import { refuse } from './refusal.ts'

const short: Readonly<Record<number, string>> = {
  0x08: '\\b',
  0x09: '\\t',
  0x0a: '\\n',
  0x0c: '\\f',
  0x0d: '\\r',
  0x22: '\\"',
  0x5c: '\\\\',
}

/** One JSON object (RFC 8259) of text values, keys in order, ended by a line end. */
export const encodeJson: EncodeSecret = (entries, out) => {
  out.text('{')
  entries.forEach((entry, index) => {
    out.text(`${index === 0 ? '' : ','}\n  ${JSON.stringify(entry.key)}: `)
    writeJsonText(entry, 'json', out)
  })
  out.text(entries.length === 0 ? '}\n' : '\n}\n')
}

/** One value as a JSON string. */
export function writeJsonText(entry: KeyValue, format: string, out: ByteWriter): void {
  const bytes = entry.value.expose()
  if (!isText(bytes)) throw refuse(entry.key, format, 'it is not UTF-8 text')
  out.text('"')
  writeEscaping(bytes, out, escapeOf)
  out.text('"')
}

function escapeOf(point: number): string | undefined {
  const escaped = short[point]
  if (escaped !== undefined) return escaped
  // U+2028 and U+2029 are line ends to readers that take JSON for JavaScript.
  const unsafe = point < 0x20 || point === 0x7f || point === 0x2028 || point === 0x2029
  return unsafe ? unicodeEscape(point) : undefined
}
