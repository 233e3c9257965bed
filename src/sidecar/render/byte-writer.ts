import { LatchkeyError } from '../../base/errors.ts'
import { SecretBytes } from '../../base/secret.ts'

/** The most bytes that one rendered file, or a value on its way into one, may have. */
export const maxRenderedBytes = 32 * 1024 * 1024

/**
 * Builds bytes piece by piece without ever making a string of a secret. Outgrown buffers are wiped;
 * so is the last one when the writer is disposed of before {@link ByteWriter.take}.
 *
 * Writing throws `ERR_NOT_RENDERABLE` before there would be more than {@link maxRenderedBytes}.
 */
export class ByteWriter implements Disposable {
  #buffer = new Uint8Array(256)
  #length = 0

  byte(value: number): void {
    this.#reserve(1)
    this.#buffer[this.#length] = value
    this.#length += 1
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.byteLength)
    this.#buffer.set(value, this.#length)
    this.#length += value.byteLength
  }

  /** Text that is not secret, as UTF-8. */
  text(value: string): void {
    this.bytes(Buffer.from(value, 'utf8'))
  }

  /** Everything that was written; the writer starts anew. */
  take(): SecretBytes {
    const taken = SecretBytes.take(this.#buffer.slice(0, this.#length))
    this[Symbol.dispose]()
    return taken
  }

  [Symbol.dispose](): void {
    this.#buffer.fill(0)
    this.#buffer = new Uint8Array(256)
    this.#length = 0
  }

  #reserve(count: number): void {
    const needed = this.#length + count
    if (needed <= this.#buffer.byteLength) return
    if (needed > maxRenderedBytes) {
      throw new LatchkeyError(
        'ERR_NOT_RENDERABLE',
        `the rendered file is over ${maxRenderedBytes} bytes`,
        { hint: 'name large keys once, or publish them as files of their own' },
      )
    }
    const grown = new Uint8Array(
      Math.min(Math.max(needed, this.#buffer.byteLength * 2), maxRenderedBytes),
    )
    grown.set(this.#buffer.subarray(0, this.#length))
    this.#buffer.fill(0)
    this.#buffer = grown
  }
}
