import test from 'ava'
import fc from 'fast-check'
import {
  frameKeyBytes,
  frameOverhead,
  frameVersion,
  openFrame,
  sealFrame,
} from '../../src/base/frame.ts'
import { createRandomPool } from '../../src/base/random.ts'
import { SecretBytes } from '../../src/base/secret.ts'

const random = createRandomPool()
const newKey = (): SecretBytes => SecretBytes.take(random(frameKeyBytes))
const key = newKey()
const associatedData = Uint8Array.of(1, 2, 3)

test('what was sealed opens', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 60 }),
      (plaintext, data) => {
        const frame = sealFrame(plaintext, { key, associatedData: data, random })
        t.is(frame.byteLength, plaintext.byteLength + frameOverhead)
        t.is(frame[0], frameVersion)
        t.deepEqual(openFrame(frame, { key, associatedData: data }).expose(), plaintext)
      },
    ),
  )
})

test('two frames of one plaintext have nothing in common', (t) => {
  const seal = (): Uint8Array => sealFrame(new Uint8Array(64), { key, associatedData, random })
  t.notDeepEqual(seal().subarray(1, 25), seal().subarray(1, 25))
  t.notDeepEqual(seal().subarray(25), seal().subarray(25))
})

test('every flipped bit is refused', (t) => {
  const frame = sealFrame(Uint8Array.of(1, 2, 3), { key, associatedData, random })
  for (let bit = 0; bit < frame.byteLength * 8; bit += 1) {
    const flipped = Uint8Array.from(frame)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    t.throws(() => openFrame(flipped, { key, associatedData }), {
      code: bit < 8 ? 'ERR_CIPHERTEXT_VERSION' : 'ERR_CIPHERTEXT_INVALID',
    })
  }
})

test('every cut and every extension is refused', (t) => {
  const frame = sealFrame(Uint8Array.of(1, 2, 3), { key, associatedData, random })
  for (let length = 0; length < frame.byteLength; length += 1) {
    t.throws(() => openFrame(frame.subarray(0, length), { key, associatedData }), {
      code: 'ERR_CIPHERTEXT_INVALID',
    })
  }
  t.throws(() => openFrame(Uint8Array.of(...frame, 0), { key, associatedData }), {
    code: 'ERR_CIPHERTEXT_INVALID',
  })
})

test('another key and other associated data look the same, and give no cause', (t) => {
  const frame = sealFrame(Uint8Array.of(1, 2, 3), { key, associatedData, random })
  const wrongKey = t.throws(() => openFrame(frame, { key: newKey(), associatedData }))
  const wrongData = t.throws(() => openFrame(frame, { key, associatedData: Uint8Array.of(1, 2) }))
  t.like(wrongKey, { code: 'ERR_CIPHERTEXT_INVALID', message: wrongData.message })
  t.false('cause' in wrongKey)
  t.false('cause' in wrongData)
})

test('a wiped key and a key of another size are mistakes, not bad ciphertexts', (t) => {
  const frame = sealFrame(Uint8Array.of(1, 2, 3), { key, associatedData, random })
  const wiped = newKey()
  wiped[Symbol.dispose]()
  const short = SecretBytes.take(random(31))
  t.throws(() => openFrame(frame, { key: wiped, associatedData }), { instanceOf: TypeError })
  t.throws(() => openFrame(frame, { key: short, associatedData }), { instanceOf: RangeError })
  t.throws(() => sealFrame(frame, { key: wiped, associatedData, random }), {
    instanceOf: TypeError,
  })
  t.throws(() => sealFrame(frame, { key: short, associatedData, random }), {
    instanceOf: RangeError,
  })
})
