import type { SecretBytes } from '../../base/secret.ts'
import type { Filter } from '../../injection/template.ts'
import { ByteWriter } from './byte-writer.ts'
import type { KeyValue } from './formats.ts'
import { writeJsonText } from './json.ts'
import { refuse } from './refusal.ts'
import { writeYamlText } from './yaml.ts'

/** Passes a value through filters from left to right. The result has an owner of its own. */
export function applyFilters(entry: KeyValue, filters: readonly Filter[]): SecretBytes {
  let value = entry.value.clone()
  for (const filter of filters) {
    using before = value
    value = applyFilter({ key: entry.key, value: before }, filter)
  }
  return value
}

function applyFilter(entry: KeyValue, filter: Filter): SecretBytes {
  using out = new ByteWriter()
  const bytes = entry.value.expose()
  switch (filter) {
    case 'base64':
      writeBase64(bytes, out)
      break
    case 'json':
      writeJsonText(entry, 'json', out)
      break
    case 'yaml':
      writeYamlText(entry, 'yaml', out)
      break
    case 'shell':
      writeShellWord(entry, out)
      break
    case 'trim':
      out.bytes(bytes.subarray(0, lengthWithoutLineEnds(bytes)))
      break
    case 'uri':
      writePercentEncoded(bytes, out)
      break
  }
  return out.take()
}

const alphabet = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')

/** RFC 4648 §4, with padding. */
function writeBase64(bytes: Uint8Array, out: ByteWriter): void {
  for (let i = 0; i < bytes.byteLength; i += 3) {
    const [a = 0, b, c] = bytes.subarray(i, i + 3)
    const group = (a << 16) | ((b ?? 0) << 8) | (c ?? 0)
    const letter = (shift: number): number => alphabet[(group >> shift) & 0x3f] ?? 0
    out.byte(letter(18))
    out.byte(letter(12))
    out.byte(b === undefined ? 0x3d : letter(6))
    out.byte(c === undefined ? 0x3d : letter(0))
  }
}

/** One word for a POSIX shell (XCU 2.2.2): single quotes, and `'\''` for each single quote. */
function writeShellWord({ key, value }: KeyValue, out: ByteWriter): void {
  const bytes = value.expose()
  if (bytes.includes(0)) throw refuse(key, 'a shell word', 'it holds a NUL byte')
  out.byte(0x27)
  for (const byte of bytes) {
    if (byte === 0x27) out.text(`'\\''`)
    else out.byte(byte)
  }
  out.byte(0x27)
}

/** RFC 3986 §2.1: all but the unreserved characters of §2.3. */
function writePercentEncoded(bytes: Uint8Array, out: ByteWriter): void {
  for (const byte of bytes) {
    if (isUnreserved(byte)) out.byte(byte)
    else out.text(`%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
  }
}

function isUnreserved(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x2d ||
    byte === 0x2e ||
    byte === 0x5f ||
    byte === 0x7e
  )
}

function lengthWithoutLineEnds(bytes: Uint8Array): number {
  let length = bytes.byteLength
  while (length > 0 && (bytes[length - 1] === 0x0a || bytes[length - 1] === 0x0d)) length -= 1
  return length
}
