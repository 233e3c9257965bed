import { utf8 } from './bytes.ts'

const alphabet = utf8('0123456789ABCDEFGHJKMNPQRSTVWXYZ')

/**
 * Crockford's base 32 (https://www.crockford.com/base32.html), five bits a symbol, first bits first,
 * as ASCII bytes: made to be read out and typed. Bytes and no strings, as what is typed so is secret.
 * Throws `RangeError` unless the length is a multiple of five bytes.
 */
export function toBase32(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength % 5 !== 0) throw new RangeError('not a multiple of five bytes')
  const symbols = new Uint8Array((bytes.byteLength * 8) / 5)
  let [bits, held, at] = [0, 0, 0]
  for (const byte of bytes) {
    bits = ((bits << 8) | byte) & 0xfff
    held += 8
    while (held >= 5) {
      held -= 5
      symbols[at] = alphabet[(bits >> held) & 31] ?? 0
      at += 1
    }
  }
  return symbols
}

/**
 * Inverse of {@link toBase32}. Throws `RangeError` for what it would not give; see
 * {@link base32Symbol} for what people type.
 */
export function fromBase32(symbols: Uint8Array): Uint8Array {
  if (symbols.byteLength % 8 !== 0) throw new RangeError('not a multiple of eight symbols')
  const bytes = new Uint8Array((symbols.byteLength * 5) / 8)
  let [bits, held, at] = [0, 0, 0]
  for (const symbol of symbols) {
    const value = alphabet.indexOf(symbol)
    if (value < 0) throw new RangeError('not a symbol')
    bits = ((bits << 5) | value) & 0xfff
    held += 5
    if (held < 8) continue
    held -= 8
    bytes[at] = (bits >> held) & 0xff
    at += 1
  }
  return bytes
}

/** The symbol that a typed character stands for: either case, `O` for 0, `I` and `L` for 1. */
export function base32Symbol(character: number): number | undefined {
  const upper = character >= 0x61 && character <= 0x7a ? character - 0x20 : character
  const meant = upper === 0x4f ? 0x30 : upper === 0x49 || upper === 0x4c ? 0x31 : upper
  return alphabet.includes(meant) ? meant : undefined
}

/**
 * Two symbols by which a mistyped line of symbols is found for certain: any one or two wrong symbols,
 * and any two neighbours that changed places. They are the sum of the values in GF(2^5) (modulo
 * x^5 + x^2 + 1), and the value at x of the polynomial that has them as coefficients, the first one
 * highest; `start` goes before the first. For lines of up to 30 symbols.
 */
export function base32Check(start: number, symbols: Uint8Array): Uint8Array {
  let [sum, value] = [start, start]
  for (const symbol of symbols) {
    const term = alphabet.indexOf(symbol)
    const shifted = value << 1
    value = (shifted > 31 ? shifted ^ 0b100101 : shifted) ^ term
    sum ^= term
  }
  return Uint8Array.of(alphabet[sum] ?? 0, alphabet[value] ?? 0)
}
