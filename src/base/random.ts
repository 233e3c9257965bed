import { randomFillSync } from 'node:crypto'

/** Returns `length` fresh random bytes that the caller owns. Injected, so that vectors can be exact. */
export type RandomBytes = (length: number) => Uint8Array

const poolBytes = 4096

/**
 * A source of random bytes that asks Node.js once per 4 KiB, not once per call: asking for each
 * 24-byte nonce doubles what it costs to wrap a seed. Bytes handed out are cleared from the pool at
 * once. The pool must not survive a fork or a snapshot of the process, which is why it belongs to a
 * process and is never saved; a machine whose memory is resumed twice repeats it, as it does OpenSSL's
 * generator behind `randomFillSync` (SECURITY.md).
 */
export function createRandomPool(fill: (target: Uint8Array) => void = randomFillSync): RandomBytes {
  const pool = new Uint8Array(poolBytes)
  let used = poolBytes
  return (length) => {
    if (!Number.isInteger(length) || length < 0) {
      throw new RangeError('length must be a whole number of bytes')
    }
    if (length > poolBytes) {
      const large = new Uint8Array(length)
      fill(large)
      return large
    }
    if (used + length > poolBytes) {
      fill(pool)
      used = 0
    }
    const taken = pool.slice(used, used + length)
    pool.fill(0, used, used + length)
    used += length
    return taken
  }
}
