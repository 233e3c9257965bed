import test from 'ava'
import fc from 'fast-check'
import { base32Check, base32Symbol, fromBase32, toBase32 } from '../../src/base/base32.ts'

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

test('bytes become symbols, first bits first, and bytes again', (t) => {
  t.is(text(toBase32(Uint8Array.of(0, 0, 0, 0, 0))), '00000000')
  t.is(text(toBase32(Uint8Array.of(255, 255, 255, 255, 255))), 'ZZZZZZZZ')
  t.is(text(toBase32(Uint8Array.of(0x08, 0x86, 0x42, 0x98, 0xe8))), '12345678')
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 5, maxLength: 5 }), { maxLength: 12 }),
      (it) => {
        const bytes = new Uint8Array(it.flatMap((five) => [...five]))
        const symbols = toBase32(bytes)
        t.regex(text(symbols), /^[0-9A-HJKMNP-TV-Z]*$/)
        t.deepEqual(fromBase32(symbols), bytes)
      },
    ),
  )
})

test('what has no whole number of symbols, or none of them, is an error', (t) => {
  t.throws(() => toBase32(new Uint8Array(4)), { instanceOf: RangeError })
  t.throws(() => fromBase32(Buffer.from('1234567')), { instanceOf: RangeError })
  t.throws(() => fromBase32(Buffer.from('1234567U')), { instanceOf: RangeError })
  t.throws(() => fromBase32(Buffer.from('1234567a')), { instanceOf: RangeError })
})

test('typed characters stand for symbols in either case; O is 0, I and L are 1, U is nothing', (t) => {
  const of = (character: string): string | undefined => {
    const symbol = base32Symbol(character.charCodeAt(0))
    return symbol === undefined ? undefined : String.fromCharCode(symbol)
  }
  t.deepEqual(Array.from('aZoOiIlL09', of), ['A', 'Z', '0', '0', '1', '1', '1', '1', '0', '9'])
  t.deepEqual(
    Array.from('uU-_ ä!', of),
    Array.from({ length: 7 }, () => undefined),
  )
})

test('the check differs for any one or two other symbols', (t) => {
  const line = toBase32(Uint8Array.from({ length: 15 }, (_, at) => at * 29))
  const symbols = Uint8Array.from(
    new Set(toBase32(Uint8Array.from({ length: 250 }, (_, at) => at))),
  )
  t.is(symbols.byteLength, 32)
  const right = text(base32Check(1, line))
  t.not(text(base32Check(2, line)), right)
  const missed: string[] = []
  for (let first = 0; first < line.byteLength; first += 1) {
    for (const one of symbols) {
      for (const second of [(first + 1) % line.byteLength, (first + 11) % line.byteLength]) {
        for (const two of symbols) {
          const changed = Uint8Array.from(line)
          changed[first] = one
          changed[second] = two
          if (text(changed) === text(line)) continue
          if (text(base32Check(1, changed)) === right) missed.push(text(changed))
        }
      }
    }
  }
  t.deepEqual(missed, [])
})
