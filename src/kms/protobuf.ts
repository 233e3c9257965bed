import { fromUtf8 } from '../base/bytes.ts'
import { LatchkeyError } from '../base/errors.ts'

// The KMS messages have two kinds of fields, text and bytes, and one map. Reading and writing them
// here, against the upstream .proto files in the tests, saves proto-loader's 6 MB and 40 ms at start.

const lengthDelimited = 2
const maxFieldNumber = 2 ** 29 - 1

/** Fields of one protobuf message: number and bytes, in the order in which they came. */
export type Fields = readonly (readonly [number: number, value: Buffer])[]

/**
 * Takes a protobuf message apart (protobuf.dev/programming-guides/encoding). Values are views of
 * `message`. Fields of other wire types than length-delimited are none of ours and are skipped.
 *
 * @throws `ERR_MESSAGE_INVALID` for bytes that are no message.
 */
export function readFields(message: Buffer): Fields {
  const fields: (readonly [number, Buffer])[] = []
  for (let at = 0; at < message.byteLength;) {
    const [tag, afterTag] = readVarint(message, at)
    const number = Math.floor(tag / 8)
    if (number === 0 || number > maxFieldNumber) throw invalid()
    const [length, begin] = extent(message, { wireType: tag % 8, at: afterTag })
    const end = begin + length
    if (end > message.byteLength) throw invalid()
    if (tag % 8 === lengthDelimited) fields.push([number, message.subarray(begin, end)])
    at = end
  }
  return fields
}

/** The bytes of field `number`; the last one counts, and absent is empty. */
export function bytesField(fields: Fields, number: number): Buffer {
  return fields.findLast(([found]) => found === number)?.[1] ?? Buffer.alloc(0)
}

/** The text of field `number`. Throws `ERR_MESSAGE_INVALID` when it is not UTF-8. */
export function textField(fields: Fields, number: number): string {
  const text = fromUtf8(bytesField(fields, number))
  if (text === undefined) throw invalid()
  return text
}

/** How many times field `number` is there: the number of entries of a map, doublets included. */
export function countField(fields: Fields, number: number): number {
  return fields.filter(([found]) => found === number).length
}

/** A message of length-delimited fields, numbers 1 to 15; empty ones are left out, as proto3 does. */
export function writeFields(
  fields: readonly (readonly [number: number, value: string | Uint8Array])[],
): Buffer {
  let size = 0
  for (const [, value] of fields) {
    const length = Buffer.byteLength(value)
    if (length > 0) size += 1 + varintSize(length) + length
  }
  const message = Buffer.allocUnsafe(size)
  let at = 0
  for (const [number, value] of fields) {
    const length = Buffer.byteLength(value)
    if (length === 0) continue
    message[at] = (number << 3) | lengthDelimited
    at = writeVarint(message, { value: length, at: at + 1 })
    if (typeof value === 'string') message.write(value, at)
    else message.set(value, at)
    at += length
  }
  return message
}

function extent(
  message: Buffer,
  field: { readonly wireType: number; readonly at: number },
): readonly [length: number, begin: number] {
  switch (field.wireType) {
    case 0:
      return [0, readVarint(message, field.at)[1]]
    case 1:
      return [8, field.at]
    case lengthDelimited:
      return readVarint(message, field.at)
    case 5:
      return [4, field.at]
    default:
      throw invalid()
  }
}

/** A varint of up to ten bytes; inexact above 53 bits, which is beyond any number or length in use. */
function readVarint(message: Buffer, at: number): readonly [value: number, next: number] {
  let value = 0
  for (let n = 0; n < 10; n += 1) {
    const byte = message[at + n]
    if (byte === undefined) throw invalid()
    value += (byte & 0x7f) * 2 ** (7 * n)
    if (byte < 0x80) return [value, at + n + 1]
  }
  throw invalid()
}

function varintSize(value: number): number {
  let size = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1
  return size
}

/** Returns where the next byte goes. */
function writeVarint(
  message: Buffer,
  what: { readonly value: number; readonly at: number },
): number {
  let { value, at } = what
  for (; value >= 0x80; value = Math.floor(value / 0x80)) {
    message[at] = (value & 0x7f) | 0x80
    at += 1
  }
  message[at] = value
  return at + 1
}

function invalid(): LatchkeyError {
  return new LatchkeyError('ERR_MESSAGE_INVALID', 'the bytes are no protobuf message')
}
