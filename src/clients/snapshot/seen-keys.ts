import { createHash } from 'node:crypto'

/**
 * The keys that were met, each as 16 bytes of its SHA-256, so that a million keys take 32 MB
 * however long they are. Whoever writes to etcd could otherwise choose two keys that count as one,
 * and hide an object.
 */
export class SeenKeys {
  #slots = new BigUint64Array(2 * 1024)
  #size = 0

  /** Adds `key`; returns whether it is new. */
  add(key: Uint8Array): boolean {
    const digest = createHash('sha256').update(key).digest()
    // Zero marks a free slot.
    const high = digest.readBigUInt64LE(0) | 1n
    const low = digest.readBigUInt64LE(8)
    if (!this.#insert(high, low)) return false
    this.#size += 1
    if (this.#size * 4 > this.#slots.length) this.#grow()
    return true
  }

  get size(): number {
    return this.#size
  }

  #insert(high: bigint, low: bigint): boolean {
    const places = this.#slots.length / 2
    let place = Number(low % BigInt(places))
    for (;;) {
      const found = this.#slots[2 * place]
      if (found === 0n) break
      if (found === high && this.#slots[2 * place + 1] === low) return false
      place = (place + 1) % places
    }
    this.#slots[2 * place] = high
    this.#slots[2 * place + 1] = low
    return true
  }

  #grow(): void {
    const former = this.#slots
    this.#slots = new BigUint64Array(former.length * 2)
    for (let index = 0; index < former.length; index += 2) {
      const [high = 0n, low = 0n] = former.subarray(index, index + 2)
      if (high !== 0n) this.#insert(high, low)
    }
  }
}
