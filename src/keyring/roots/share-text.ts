import { createHash } from 'node:crypto'
import { base32Check, base32Symbol, fromBase32, toBase32 } from '../../base/base32.ts'
import { lengthPrefixed, utf8 } from '../../base/bytes.ts'
import { LatchkeyError } from '../../base/errors.ts'
import { SecretBytes } from '../../base/secret.ts'

/** One share of a root, as its holder keeps it. FORMAT.md section 12 has the text. */
export interface Share {
  /** 16 hexadecimal digits that all shares of one root have in common. */
  readonly group: string
  /** Shares that join the root, 2 to `count`. */
  readonly threshold: number
  /** Shares that there are, 2 to 32. */
  readonly count: number
  /** Number of this one, 1 to `count`. */
  readonly index: number
  /** 32 values and, last, the coordinate that they belong to. */
  readonly secret: SecretBytes
}

/** Bytes of {@link Share.secret}. */
export const shareSecretBytes = 33
/** Most shares of one root: their checks fill a slot's parameter. */
export const maxShares = 32

const header = 'latchkey-share/1'
const [payloadBytes, checksumBytes, groupBytes] = [50, 5, 8] as const
const [lines, lineSymbols, checkSymbols, groupSymbols] = [4, 20, 2, 5] as const
const [newline, space, hyphen, hash, tab, carriage] = [0x0a, 0x20, 0x2d, 0x23, 0x09, 0x0d] as const

/** The text of a share's file. The caller disposes of it. */
export function encodeShare(share: Share): SecretBytes {
  const payload = new Uint8Array(payloadBytes)
  payload[0] = 1
  payload.set(Buffer.from(share.group, 'hex'), 1)
  payload.set([share.threshold, share.count, share.index], 1 + groupBytes)
  payload.set(share.secret.expose(), 4 + groupBytes)
  payload.set(checksumOf(payload), payloadBytes - checksumBytes)
  const symbols = toBase32(payload)
  payload.fill(0)
  const intro = utf8(
    [
      header,
      `# Share ${share.index} of ${share.count}, group ${share.group}. Any ${share.threshold} of these shares open the backup`,
      '# that they were made with. Show it to nobody; keep it apart from the others.',
      '',
    ].join('\n'),
  )
  // "1  AAAAA AAAAA AAAAA AAAAA  AA" and a line feed.
  const lineBytes = 3 + lineSymbols + 3 + 2 + checkSymbols + 1
  const text = new Uint8Array(intro.byteLength + lines * lineBytes).fill(space)
  text.set(intro)
  for (let line = 0; line < lines; line += 1) {
    const part = symbols.subarray(line * lineSymbols, (line + 1) * lineSymbols)
    let at = intro.byteLength + line * lineBytes
    text[at] = 0x31 + line
    at += 3
    for (let index = 0; index < lineSymbols; index += groupSymbols, at += groupSymbols + 1) {
      text.set(part.subarray(index, index + groupSymbols), at)
    }
    text.set(base32Check(line + 1, part), at + 1)
    text[at + 1 + checkSymbols] = newline
  }
  symbols.fill(0)
  return SecretBytes.take(text)
}

/**
 * Reads every share in a text: what {@link encodeShare} made, also typed off by hand: small letters,
 * `O` for 0, `I` and `L` for 1, and any blanks and hyphens between symbols are taken.
 *
 * @throws `ERR_SHARE_INVALID`, naming `source` and the line that is mistyped.
 */
export function decodeShares(text: SecretBytes, source: string): readonly Share[] {
  const shares: Share[] = []
  let symbols: Uint8Array | undefined
  let filled = 0
  let number = 0
  try {
    for (const line of linesOf(text.expose())) {
      number += 1
      if (line.byteLength === 0 || line[0] === hash) continue
      if (line.byteLength < 64 && Buffer.from(line).toString('latin1').startsWith('latchkey-')) {
        if (symbols !== undefined) throw invalid(source, number, 'a share is cut short before it')
        if (Buffer.from(line).toString('latin1') !== header) {
          throw invalid(source, number, 'the share is of another format', 'use a newer release')
        }
        ;[symbols, filled] = [new Uint8Array(lines * lineSymbols), 0]
        continue
      }
      if (symbols === undefined) throw invalid(source, number, `"${header}" is missing before it`)
      readLine(line, { symbols, filled, source, number })
      filled += 1
      if (filled < lines) continue
      shares.push(readPayload(symbols, source, number))
      symbols.fill(0)
      symbols = undefined
    }
    if (symbols !== undefined) throw invalid(source, number, 'the share is cut short after it')
    if (shares.length > 0) return shares
    throw new LatchkeyError('ERR_SHARE_INVALID', `${source} holds no share`, {
      hint: 'name a file that "latchkey keys backup --shares" made',
    })
  } catch (error) {
    for (const { secret } of shares) secret[Symbol.dispose]()
    throw error
  } finally {
    symbols?.fill(0)
  }
}

function* linesOf(text: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < text.byteLength;) {
    const found = text.indexOf(newline, start)
    const end = found < 0 ? text.byteLength : found
    const isBlank = (byte: number | undefined): boolean =>
      byte === space || byte === tab || byte === carriage
    let [from, to] = [start, end]
    while (from < to && isBlank(text[from])) from += 1
    while (to > from && isBlank(text[to - 1])) to -= 1
    yield text.subarray(from, to)
    start = end + 1
  }
}

/** Reads `N AAAAA … CC` into its place. */
function readLine(
  line: Uint8Array,
  into: {
    readonly symbols: Uint8Array
    readonly filled: number
    readonly source: string
    readonly number: number
  },
): void {
  const { symbols, filled, source, number } = into
  if (line[0] !== 0x31 + filled) {
    throw invalid(source, number, `it does not begin with ${filled + 1}, its number in the share`)
  }
  const read = new Uint8Array(lineSymbols + checkSymbols)
  let length = 0
  for (const byte of line.subarray(1)) {
    if (byte === space || byte === hyphen || byte === tab) continue
    const symbol = base32Symbol(byte)
    if (symbol === undefined || length === read.byteLength) {
      read.fill(0)
      const what = symbol === undefined ? 'a character is none that shares have' : 'it is too long'
      throw invalid(source, number, what)
    }
    read[length] = symbol
    length += 1
  }
  const part = read.subarray(0, lineSymbols)
  const check = base32Check(filled + 1, part)
  const right = length === read.byteLength && check.every((it, at) => it === read[lineSymbols + at])
  if (right) symbols.set(part, filled * lineSymbols)
  read.fill(0)
  if (!right) {
    throw invalid(source, number, length < 22 ? 'it is too short' : 'a character is mistyped')
  }
}

function readPayload(symbols: Uint8Array, source: string, number: number): Share {
  const payload = fromBase32(symbols)
  try {
    const checksum = checksumOf(payload)
    const at = payloadBytes - checksumBytes
    if (!checksum.every((byte, index) => byte === payload[at + index])) {
      throw invalid(source, number, 'the share that ends there is altered')
    }
    const [threshold = 0, count = 0, index = 0] = payload.subarray(1 + groupBytes, 4 + groupBytes)
    const fits = count <= maxShares && threshold >= 2 && threshold <= count
    if (payload[0] !== 1 || !fits || index < 1 || index > count || payload[at - 1] === 0) {
      throw invalid(source, number, 'the share that ends there is out of bounds')
    }
    return {
      group: Buffer.from(payload.subarray(1, 1 + groupBytes)).toString('hex'),
      threshold,
      count,
      index,
      secret: SecretBytes.copyOf(payload.subarray(4 + groupBytes, at)),
    }
  } finally {
    payload.fill(0)
  }
}

/** First bytes of the SHA-256 of everything before them. */
function checksumOf(payload: Uint8Array): Uint8Array {
  const covered = lengthPrefixed(['latchkey/share/1', payload.subarray(0, 45)])
  const digest = createHash('sha256').update(covered).digest()
  covered.fill(0)
  return digest.subarray(0, checksumBytes)
}

function invalid(
  source: string,
  line: number,
  what: string,
  hint = 'compare the line with the share as it was handed out',
): LatchkeyError {
  return new LatchkeyError('ERR_SHARE_INVALID', `${source}, line ${line}: ${what}`, { hint })
}
