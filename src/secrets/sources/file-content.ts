import { LatchkeyError } from '../../base/errors.ts'
import { SecretBytes } from '../../base/secret.ts'
import { SecretContent, type SecretEntry } from '../content.ts'

// The plaintext of an entry: see FORMAT.md beside this file.

const kinds = { removed: 0, content: 1 } as const

/** Encodes content, or for `undefined` the mark of a removed secret. One content has one encoding. */
export function encodeContent(content: SecretContent | undefined): SecretBytes {
  if (content === undefined) return SecretBytes.take(Uint8Array.of(kinds.removed))
  const size = content.entries.reduce(
    (sum, { key, value }) => sum + 6 + key.length + value.byteLength,
    5,
  )
  const buffer = Buffer.alloc(size)
  let offset = buffer.writeUInt8(kinds.content, 0)
  offset = buffer.writeUInt32BE(content.entries.length, offset)
  for (const { key, value } of content.entries) {
    offset = buffer.writeUInt16BE(key.length, offset)
    offset += buffer.write(key, offset, 'latin1')
    offset = buffer.writeUInt32BE(value.byteLength, offset)
    buffer.set(value.expose(), offset)
    offset += value.byteLength
  }
  return SecretBytes.take(buffer)
}

/**
 * Inverse of {@link encodeContent}; refuses everything that it would not write.
 *
 * @throws `ERR_SECRET_STORE_INVALID`.
 */
export function decodeContent(bytes: Uint8Array): SecretContent | undefined {
  const reader = new Reader(bytes)
  const kind = reader.number(1)
  if (kind === kinds.removed) {
    reader.end()
    return undefined
  }
  if (kind !== kinds.content) throw malformed()
  const entries: SecretEntry[] = []
  try {
    for (let left = reader.number(4), last = ''; left > 0; left -= 1) {
      const key = Buffer.from(reader.take(reader.number(2))).toString('latin1')
      if (key <= last) throw malformed()
      last = key
      entries.push({ key, value: SecretBytes.copyOf(reader.take(reader.number(4))) })
    }
    reader.end()
  } catch (error) {
    for (const { value } of entries) value[Symbol.dispose]()
    throw error
  }
  return SecretContent.take(entries)
}

class Reader {
  readonly #bytes: Buffer
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  take(length: number): Uint8Array {
    const taken = this.#bytes.subarray(this.#offset, this.#offset + length)
    if (taken.byteLength < length) throw malformed()
    this.#offset += length
    return taken
  }

  number(length: number): number {
    const bytes = this.take(length)
    return bytes.reduce((value, byte) => value * 256 + byte, 0)
  }

  end(): void {
    if (this.#offset !== this.#bytes.byteLength) throw malformed()
  }
}

function malformed(): LatchkeyError {
  return new LatchkeyError('ERR_SECRET_STORE_INVALID', 'the content of an entry is malformed')
}
