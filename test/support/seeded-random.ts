import { createHash } from 'node:crypto'
import type { RandomBytes } from '../../src/base/random.ts'

/** The same bytes for the same seed, for ever: SHA-256 of the seed and a counter. */
export function seededRandom(seed: string): RandomBytes {
  let counter = 0
  let rest = Buffer.alloc(0)
  return (length) => {
    while (rest.byteLength < length) {
      const block = createHash('sha256').update(`${seed}/${counter}`).digest()
      rest = Buffer.concat([rest, block])
      counter += 1
    }
    const taken = Uint8Array.from(rest.subarray(0, length))
    rest = rest.subarray(length)
    return taken
  }
}

/** Hands out exactly the given arrays, in order; asking for another length or for more is an error. */
export function scriptedRandom(...parts: readonly Uint8Array[]): RandomBytes {
  const left = [...parts]
  return (length) => {
    const next = left.shift()
    if (next?.byteLength !== length) throw new Error(`${length} random bytes were not expected`)
    return Uint8Array.from(next)
  }
}
