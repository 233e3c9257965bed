import test from 'ava'
import fc from 'fast-check'
import { createHash } from 'node:crypto'
import {
  concat,
  fromBase64Url,
  fromUtf8,
  lengthPrefixed,
  sha256Label,
  toBase64Url,
  utf8,
} from '../../src/base/bytes.ts'

const bytes = fc.uint8Array({ maxLength: 80 })

test('text survives UTF-8', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 80 }), (text) => {
      t.is(fromUtf8(utf8(text)), text)
    }),
  )
})

test('a byte order mark is text, not decoration', (t) => {
  t.is(fromUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), '\ufeffa')
})

for (const [title, ill] of [
  ['a lone continuation byte', [0x80]],
  ['an overlong slash', [0xc0, 0xaf]],
  ['a surrogate', [0xed, 0xa0, 0x80]],
  ['a cut sequence', [0xe2, 0x82]],
] as const) {
  test(`${title} is not UTF-8`, (t) => {
    t.is(fromUtf8(Uint8Array.from(ill)), undefined)
  })
}

test('base64url has one spelling for each value', (t) => {
  fc.assert(
    fc.property(bytes, (value) => {
      t.deepEqual(fromBase64Url(toBase64Url(value)), value)
    }),
  )
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), (text) => {
      const value = fromBase64Url(text)
      t.true(value === undefined || toBase64Url(value) === text)
    }),
  )
})

for (const [title, text] of [
  ['padding', 'AA=='],
  ['the other alphabet', '+/+/'],
  ['stray bits in the last character', 'AB'],
  ['white space', 'AAAA\n'],
  ['an impossible length', 'AAAAA'],
] as const) {
  test(`base64url with ${title} is refused`, (t) => {
    t.is(fromBase64Url(text), undefined)
  })
}

test('only the view is encoded, not the buffer behind it', (t) => {
  t.is(toBase64Url(Uint8Array.of(1, 2, 3, 4).subarray(1, 3)), 'AgM')
})

test('a SHA-256 label is what the API server prints for a key id', (t) => {
  t.is(
    sha256Label('lk1.1.AAAAAAAAAAAAAAAAAAAAAA'),
    `sha256:${createHash('sha256').update('lk1.1.AAAAAAAAAAAAAAAAAAAAAA').digest('hex')}`,
  )
  t.is(
    sha256Label(new Uint8Array(0)),
    'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  )
})

test('concatenation copies', (t) => {
  const part = Uint8Array.of(1, 2)
  const joined = concat([part, new Uint8Array(0), Uint8Array.of(3)])
  part.fill(9)
  t.deepEqual(joined, Uint8Array.of(1, 2, 3))
  t.deepEqual(concat([]), new Uint8Array(0))
})

test('length-prefixed lists say where each part ends', (t) => {
  t.deepEqual(
    lengthPrefixed(['ab', Uint8Array.of(7)]),
    Uint8Array.of(0, 0, 0, 2, 97, 98, 0, 0, 0, 1, 7),
  )
  t.deepEqual(lengthPrefixed([]), new Uint8Array(0))
})

test('different lists have different encodings', (t) => {
  const list = fc.array(fc.string({ maxLength: 4 }), { maxLength: 4 })
  fc.assert(
    fc.property(list, list, (one, other) => {
      const same = Buffer.from(lengthPrefixed(one)).equals(lengthPrefixed(other))
      t.is(same, JSON.stringify(one) === JSON.stringify(other))
    }),
  )
})
