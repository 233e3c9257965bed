/**
 * A second implementation of sections 7 (`shares`) and 12 of src/keyring/FORMAT.md, written from that
 * page: it imports nothing of src/, and no library joins its shares.
 */
import { createHash, hkdfSync } from 'node:crypto'
import { lp } from './format-reader.ts'

/** A share as section 12 gives it. */
export interface ReadShare {
  readonly group: string
  readonly threshold: number
  readonly count: number
  readonly index: number
  /** 32 values. */
  readonly y: Buffer
  readonly x: number
}

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** Section 12: the only share in a text. */
export function readShare(text: string): ReadShare {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  if (lines.shift() !== 'latchkey-share/1' || lines.length !== 4) throw new Error('lines')
  let bits = ''
  for (const [at, line] of lines.entries()) {
    const [, number, symbols = '', check] =
      /^([1-4]) {2}((?:[0-9A-Z]{5} ){4}) ([0-9A-Z]{2})$/.exec(line) ?? []
    if (number !== String(at + 1)) throw new Error('line number')
    const plain = symbols.replaceAll(' ', '')
    const values = [at + 1, ...plain.split('').map((symbol) => alphabet.indexOf(symbol))]
    const sum = values.reduce((total, value) => total ^ value, 0)
    const last = values.length - 1
    const atX = values.reduce((total, value, place) => total ^ timesX(value, last - place), 0)
    const expected = `${alphabet[sum] ?? ''}${alphabet[atX] ?? ''}`
    if (check !== expected) throw new Error('line check')
    for (const symbol of plain) bits += alphabet.indexOf(symbol).toString(2).padStart(5, '0')
  }
  const bytes = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
  const covered = bytes.subarray(0, 45)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(45)
  const digest = createHash('sha256')
    .update(Buffer.concat([lp('latchkey/share/1'), length, covered]))
    .digest()
  if (!digest.subarray(0, 5).equals(bytes.subarray(45))) throw new Error('checksum')
  if (bytes[0] !== 1) throw new Error('version')
  return {
    group: bytes.toString('hex', 1, 9),
    threshold: bytes.readUInt8(9),
    count: bytes.readUInt8(10),
    index: bytes.readUInt8(11),
    y: bytes.subarray(12, 44),
    x: bytes.readUInt8(44),
  }
}

/** `value` times x to the power of `times`, in GF(2^5) modulo x^5 + x^2 + 1. */
function timesX(value: number, times: number): number {
  let product = value
  for (let time = 0; time < times; time += 1) {
    product <<= 1
    if (product >= 32) product ^= 0b100101
  }
  return product
}

/** Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, by long multiplication. */
export function multiply(a: number, b: number): number {
  let [product, left] = [0, a]
  for (let right = b; right > 0; right >>= 1) {
    if ((right & 1) === 1) product ^= left
    left = (left << 1) ^ ((left & 0x80) === 0 ? 0 : 0x11b)
  }
  return product
}

function inverse(a: number): number {
  for (let b = 1; b < 256; b += 1) if (multiply(a, b) === 1) return b
  throw new Error('no inverse')
}

/** Value at `at` of the polynomial of least degree through the points. */
export function interpolate(
  points: readonly { readonly x: number; readonly y: number }[],
  at: number,
): number {
  let sum = 0
  for (const { x, y } of points) {
    let term = y
    for (const other of points) {
      if (other.x === x) continue
      term = multiply(term, multiply(at ^ other.x, inverse(x ^ other.x)))
    }
    sum ^= term
  }
  return sum
}

/** Section 7: the root that the shares join. */
export function joinShares(shares: readonly ReadShare[]): Buffer {
  return Buffer.from(
    Array.from({ length: 32 }, (_, byte) =>
      interpolate(
        shares.map(({ x, y }) => ({ x, y: y.readUInt8(byte) })),
        0,
      ),
    ),
  )
}

/** Section 7: what a slot of type `shares` holds of the root and of its shares. */
export function sharesSlot(
  root: Buffer,
  shares: readonly ReadShare[],
  salt: string,
): { readonly key: Buffer; readonly commitment: string; readonly checks: string } {
  const of = (secret: Buffer, info: string): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, Buffer.from(salt, 'base64url'), info, 32))
  const checks = shares.map(({ x, y, index }) =>
    of(Buffer.concat([y, Buffer.of(x)]), `latchkey/root/shares/1/check/${index}`)
      .subarray(0, 16)
      .toString('base64url'),
  )
  return {
    key: of(root, 'latchkey/root/shares/1'),
    commitment: of(root, 'latchkey/root/shares/1/commitment').toString('base64url'),
    checks: checks.join(''),
  }
}
