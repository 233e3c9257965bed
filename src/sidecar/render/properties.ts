import { isText, unicodeEscape, writeEscaping } from './code-points.ts'
import type { EncodeSecret } from './formats.ts'
import { refuse } from './refusal.ts'

const short: Readonly<Record<number, string>> = {
  0x09: '\\t',
  0x0a: '\\n',
  0x0c: '\\f',
  0x0d: '\\r',
  0x21: '\\!',
  0x23: '\\#',
  0x3a: '\\:',
  0x3d: '\\=',
  0x5c: '\\\\',
}

/**
 * Lines `key=value` as `java.util.Properties.load` reads them. ASCII alone: everything else is
 * escaped, so that it does not matter whether the reader expects ISO 8859-1 or UTF-8.
 */
export const encodeProperties: EncodeSecret = (entries, out) => {
  for (const { key, value } of entries) {
    if (!isText(value.expose())) throw refuse(key, 'properties', 'it is not UTF-8 text')
    writeEscaping(Buffer.from(key, 'utf8'), out, escapeOf)
    out.text('=')
    writeEscaping(value.expose(), out, escapeOf)
    out.text('\n')
  }
}

function escapeOf(point: number, offset: number): string | undefined {
  // Leading blanks would be skipped.
  if (point === 0x20) return offset === 0 ? '\\ ' : undefined
  return short[point] ?? (point < 0x20 || point > 0x7e ? unicodeEscape(point) : undefined)
}
