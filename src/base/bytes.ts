import { createHash } from 'node:crypto'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** UTF-8 bytes of `text`. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** The text of UTF-8 `bytes`, or `undefined` when they are not well-formed UTF-8. */
export function fromUtf8(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

/** Base64url without padding (RFC 4648 §5). */
export function toBase64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url')
}

/**
 * Inverse of {@link toBase64Url}; `undefined` for anything that it would not print itself:
 * padding, other alphabets, stray bits in the last character. One value has one spelling.
 */
export function fromBase64Url(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(Buffer.from(text, 'base64url'))
  return toBase64Url(bytes) === text ? bytes : undefined
}

/** `sha256:` and the lower-case hex digest: the form in which the API server hashes key ids. */
export function sha256Label(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** Concatenation into one fresh array. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let offset = 0
  for (const part of parts) {
    joined.set(part, offset)
    offset += part.byteLength
  }
  return joined
}

/**
 * An unambiguous encoding of a list, for use as AEAD associated data or MAC input: each part is its
 * byte length as a 32-bit big-endian number and then its bytes (text as UTF-8). No two different
 * lists have the same encoding, so no field can borrow bytes from its neighbour.
 */
export function lengthPrefixed(parts: readonly (string | Uint8Array)[]): Uint8Array {
  return concat(
    parts.flatMap((part) => {
      const bytes = typeof part === 'string' ? utf8(part) : part
      const length = new Uint8Array(4)
      new DataView(length.buffer).setUint32(0, bytes.byteLength)
      return [length, bytes]
    }),
  )
}
