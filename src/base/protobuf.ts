import { LatchkeyError } from './errors.ts'

// The protobuf wire format (https://protobuf.dev/programming-guides/encoding/), for messages that
// are few, small in their kinds and known: a library for any message costs 6 MB and 40 ms at start.

/** A field of an encoded message. */
export type WireField =
  | { readonly number: number; readonly kind: 'varint'; readonly value: number }
  /** A view of the message. */
  | { readonly number: number; readonly kind: 'bytes'; readonly value: Uint8Array }
  /** A field of fixed width: no message of ours has one, so it is only skipped. */
  | { readonly number: number; readonly kind: 'fixed' }

const maxFieldNumber = 2 ** 29 - 1

/**
 * The fields of a message in their order.
 *
 * @throws `ERR_MESSAGE_INVALID` for bytes that are no message.
 */
export function* readFields(message: Uint8Array): Generator<WireField> {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let position = 0; position < 10; position += 1) {
      const byte = message[at]
      if (byte === undefined) break
      at += 1
      // Inexact above 53 bits, which is beyond any number in use.
      value += (byte & 0x7f) * 2 ** (7 * position)
      if (byte < 0x80) return value
    }
    throw invalid()
  }
  const take = (length: number): Uint8Array => {
    const end = at + length
    if (end > message.byteLength) throw invalid()
    const taken = message.subarray(at, end)
    at = end
    return taken
  }
  while (at < message.byteLength) {
    const tag = varint()
    const number = Math.floor(tag / 8)
    if (number < 1 || number > maxFieldNumber) throw invalid()
    switch (tag % 8) {
      case 0:
        yield { number, kind: 'varint', value: varint() }
        break
      case 1:
        take(8)
        yield { number, kind: 'fixed' }
        break
      case 2:
        yield { number, kind: 'bytes', value: take(varint()) }
        break
      case 5:
        take(4)
        yield { number, kind: 'fixed' }
        break
      default:
        throw invalid()
    }
  }
}

/** A message to be encoded: its size is known before a byte is copied, so that a secret is copied once. */
export class WireMessage {
  readonly #fields: (readonly [number: number, value: number | Uint8Array | WireMessage])[] = []
  #byteLength = 0

  /** Adds a number of 0 to 2^53 - 1; the default, 0, is left out. */
  varint(field: number, value: number): this {
    if (value === 0) return this
    this.#fields.push([field, value])
    this.#byteLength += varintLength(field * 8) + varintLength(value)
    return this
  }

  /** Adds text; the default, empty, is left out. */
  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, 'utf8'))
  }

  /** Adds bytes, which stay the caller's and are copied when the message is encoded; empty is left out. */
  bytes(field: number, value: Uint8Array): this {
    return value.byteLength === 0 ? this : this.item(field, value)
  }

  /** Adds bytes, text or a message also when it is empty: an item of a list, or the member of a oneof. */
  item(field: number, value: Uint8Array | string | WireMessage): this {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value
    this.#fields.push([field, bytes])
    this.#byteLength += varintLength(field * 8) + varintLength(bytes.byteLength) + bytes.byteLength
    return this
  }

  get byteLength(): number {
    return this.#byteLength
  }

  /** The encoded message in an array of its own. */
  encode(): Buffer {
    // Not from the pool: it must be possible to wipe it.
    const target = Buffer.alloc(this.#byteLength)
    this.#write(target, 0)
    return target
  }

  #write(target: Buffer, start: number): number {
    let at = start
    for (const [field, value] of this.#fields) {
      if (typeof value === 'number') {
        at = writeVarint(target, at, field * 8)
        at = writeVarint(target, at, value)
        continue
      }
      at = writeVarint(target, at, field * 8 + 2)
      at = writeVarint(target, at, value.byteLength)
      if (value instanceof WireMessage) at = value.#write(target, at)
      else {
        target.set(value, at)
        at += value.byteLength
      }
    }
    return at
  }
}

function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1
  return length
}

function writeVarint(target: Buffer, start: number, value: number): number {
  let at = start
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
    target[at] = (rest % 0x80) | 0x80
    at += 1
  }
  target[at] = rest
  return at + 1
}

function invalid(): LatchkeyError {
  return new LatchkeyError('ERR_MESSAGE_INVALID', 'the bytes are no protobuf message')
}
