import { LatchkeyError } from '../../base/errors.ts'

// The protobuf wire format, as far as the broker's messages need it
// (https://protobuf.dev/programming-guides/encoding/). A pod's sidecar speaks five small messages;
// a protobuf library would cost every pod 3 MB of private memory for them.

/** One field of an encoded message. */
export interface WireField {
  readonly number: number
  readonly value: WireValue
}

/** Varints as numbers, length-delimited fields as views of the message. */
export type WireValue =
  | { readonly kind: 'varint'; readonly number: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** A fixed-width field: of no message here, so only skipped. */
  | { readonly kind: 'fixed' }

/** The fields of a message in their order. Throws `ERR_BROKER_PROTOCOL` for anything malformed. */
export function* readFields(message: Uint8Array): Generator<WireField> {
  const cursor = { message, offset: 0 }
  while (cursor.offset < message.byteLength) {
    const tag = readVarint(cursor)
    const number = Math.floor(tag / 8)
    if (!(number >= 1 && number <= 0x1fffffff)) throw malformed('a field number is out of range')
    yield { number, value: readValue(cursor, tag % 8) }
  }
}

interface Cursor {
  readonly message: Uint8Array
  offset: number
}

function readValue(cursor: Cursor, wireType: number): WireValue {
  switch (wireType) {
    case 0:
      return { kind: 'varint', number: readVarint(cursor) }
    case 1:
      take(cursor, 8)
      return { kind: 'fixed' }
    case 2:
      return { kind: 'bytes', bytes: take(cursor, readVarint(cursor)) }
    case 5:
      take(cursor, 4)
      return { kind: 'fixed' }
    default:
      throw malformed('a field has an unknown wire type')
  }
}

function take(cursor: Cursor, length: number): Uint8Array {
  const end = cursor.offset + length
  if (!(end <= cursor.message.byteLength)) throw malformed('a field is longer than its message')
  const bytes = cursor.message.subarray(cursor.offset, end)
  cursor.offset = end
  return bytes
}

/** A number above 2^53 - 1 is not exact; whoever uses it has to refuse it. */
function readVarint(cursor: Cursor): number {
  let value = 0
  for (let position = 0; position < 10; position += 1) {
    const byte = cursor.message[cursor.offset]
    if (byte === undefined) throw malformed('a number is cut off')
    cursor.offset += 1
    value += (byte & 0x7f) * 2 ** (7 * position)
    if (byte < 0x80) return value
  }
  throw malformed('a number is too long')
}

/** An encoded message that is being put together. Fields with their default value are left out. */
export class WireWriter {
  readonly #parts: Uint8Array[] = []

  varint(field: number, value: number): this {
    if (value !== 0) this.#parts.push(varint(field * 8), varint(value))
    return this
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, 'utf8'))
  }

  bytes(field: number, value: Uint8Array): this {
    return value.byteLength === 0 ? this : this.message(field, value)
  }

  /** As {@link WireWriter.bytes}, but present even when empty, as members of a oneof are. */
  message(field: number, value: Uint8Array): this {
    this.#parts.push(varint(field * 8 + 2), varint(value.byteLength), value)
    return this
  }

  take(): Uint8Array {
    return Buffer.concat(this.#parts)
  }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
  bytes.push(rest)
  return Uint8Array.from(bytes)
}

/** The error for a message that breaks a rule of the protocol. */
export function malformed(what: string): LatchkeyError<'ERR_BROKER_PROTOCOL'> {
  return new LatchkeyError('ERR_BROKER_PROTOCOL', `the broker's message is malformed: ${what}`, {
    hint: 'check that broker and sidecar are releases that belong together',
  })
}
