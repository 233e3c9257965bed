import { isUtf8 } from 'node:buffer'
import type { ByteWriter } from './byte-writer.ts'

/** Whether `bytes` are well-formed UTF-8. */
export function isText(bytes: Uint8Array): boolean {
  return isUtf8(bytes)
}

/**
 * Copies well-formed UTF-8, with `escapeOf(point)` in place of each code point for which it gives
 * one. No string is made of what is copied.
 */
export function writeEscaping(
  bytes: Uint8Array,
  out: ByteWriter,
  escapeOf: (point: number, offset: number) => string | undefined,
): void {
  let copied = 0
  for (let offset = 0; offset < bytes.byteLength;) {
    const first = bytes[offset] ?? 0
    const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    let point = length === 1 ? first : first & (0xff >> (length + 1))
    for (let i = 1; i < length; i += 1) point = (point << 6) | ((bytes[offset + i] ?? 0) & 0x3f)
    const escaped = escapeOf(point, offset)
    if (escaped !== undefined) {
      out.bytes(bytes.subarray(copied, offset))
      out.text(escaped)
      copied = offset + length
    }
    offset += length
  }
  out.bytes(bytes.subarray(copied))
}

/** `\u` and four hex digits for each UTF-16 unit of a code point. */
export function unicodeEscape(point: number): string {
  const units =
    point < 0x10000
      ? [point]
      : [0xd800 + ((point - 0x10000) >> 10), 0xdc00 + ((point - 0x10000) & 0x3ff)]
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}
