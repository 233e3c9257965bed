import { inspect } from 'node:util'

/**
 * Bytes that must never reach a string, a log field, an error or an environment.
 *
 * @remarks
 * Every road to text yields `[secret]`: template strings, `String()`, `JSON.stringify` and
 * `util.inspect` with hidden fields shown. Disposal overwrites the bytes once; JavaScript cannot
 * promise that no copy was left by the engine, and SECURITY.md says so.
 *
 * @example
 * ```ts
 * using key = SecretBytes.take(randomBytes(32))
 * ```
 */
export class SecretBytes implements Disposable {
  #bytes: Uint8Array | undefined

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Takes ownership of `bytes`: the caller must not keep or reuse the array. */
  static take(bytes: Uint8Array): SecretBytes {
    return new SecretBytes(bytes)
  }

  /** Copies `bytes`; the caller goes on owning, and wiping, the original. */
  static copyOf(bytes: Uint8Array): SecretBytes {
    return new SecretBytes(Uint8Array.from(bytes))
  }

  /** Length in bytes. Throws `TypeError` after disposal. */
  get byteLength(): number {
    return this.expose().byteLength
  }

  /** The bytes themselves, still owned by this object. Throws `TypeError` after disposal. */
  expose(): Uint8Array {
    if (this.#bytes === undefined) throw new TypeError('secret was already wiped')
    return this.#bytes
  }

  /** A second owner of the same value, to be disposed on its own. */
  clone(): SecretBytes {
    return SecretBytes.copyOf(this.expose())
  }

  [Symbol.dispose](): void {
    this.#bytes?.fill(0)
    this.#bytes = undefined
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}
