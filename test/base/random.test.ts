import test from 'ava'
import fc from 'fast-check'
import { createRandomPool } from '../../src/base/random.ts'

/** Fills with 1, 2, 3, … so that what was handed out can be recognised. */
function countingFill(): { fill: (target: Uint8Array) => void; calls: () => number } {
  let next = 0
  let calls = 0
  const fill = (target: Uint8Array): void => {
    calls += 1
    const words = new Uint32Array(target.buffer, target.byteOffset, target.byteLength >> 2)
    for (let index = 0; index < words.length; index += 1) words[index] = next++
  }
  return { fill, calls: () => calls }
}

test('requests of any size get that many bytes, none of them twice', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 60 }), (sizes) => {
      const random = createRandomPool(countingFill().fill)
      const seen = new Set<number>()
      for (const size of sizes) {
        const taken = random(size * 4)
        t.is(taken.byteLength, size * 4)
        for (const word of new Uint32Array(taken.buffer, taken.byteOffset, size)) {
          t.false(seen.has(word))
          seen.add(word)
        }
      }
    }),
  )
})

test('the kernel is asked once for many nonces', (t) => {
  const { fill, calls } = countingFill()
  const random = createRandomPool(fill)
  for (let index = 0; index < 170; index += 1) random(24)
  t.is(calls(), 1)
  random(24)
  t.is(calls(), 2)
})

test("what was handed out is the caller's alone and gone from the pool", (t) => {
  let pool: Uint8Array | undefined
  const random = createRandomPool((target) => {
    pool = target.fill(0xff)
  })
  const taken = random(16)
  t.deepEqual(pool?.subarray(0, 16), new Uint8Array(16))
  t.is(pool?.[16], 0xff)
  taken.fill(1)
  t.deepEqual(random(16), new Uint8Array(16).fill(0xff))
})

test('a request larger than the pool is filled on its own', (t) => {
  const { fill, calls } = countingFill()
  const random = createRandomPool(fill)
  t.is(random(4097).byteLength, 4097)
  t.is(random(0).byteLength, 0)
  t.is(calls(), 1)
})

test('a length that is none is refused', (t) => {
  const random = createRandomPool()
  for (const length of [-1, 1.5, NaN, Infinity]) {
    t.throws(() => random(length), { instanceOf: RangeError })
  }
})

test("the machine's own bytes differ from call to call", (t) => {
  const random = createRandomPool()
  const seen = new Set(Array.from({ length: 1000 }, () => Buffer.from(random(16)).toString('hex')))
  t.is(seen.size, 1000)
})
