import { createHash } from 'node:crypto'
import { LatchkeyError } from '../../base/errors.ts'
import { SecretBytes } from '../../base/secret.ts'

/** The longest token in bytes, as broker.proto has it. */
const maxTokenBytes = 16 * 1024

/**
 * The service account token that the kubelet projects into a file and rotates there.
 */
export class TokenFile {
  readonly #read: () => Uint8Array
  readonly #path: string
  #sent: string | undefined

  /** `read` gives the file's bytes and throws as `readFileSync` does. */
  constructor(path: string, read: () => Uint8Array) {
    this.#path = path
    this.#read = read
  }

  /** The token as it is now, which is then taken as sent. Throws `ERR_TOKEN_INVALID`. */
  take(): SecretBytes {
    const token = this.#load()
    this.#sent = digest(token)
    return token
  }

  /** The token if it is another than the one sent last. Throws `ERR_TOKEN_INVALID`. */
  takeIfNew(): SecretBytes | undefined {
    const token = this.#load()
    const now = digest(token)
    if (now !== this.#sent) {
      this.#sent = now
      return token
    }
    token[Symbol.dispose]()
    return undefined
  }

  #load(): SecretBytes {
    let bytes
    try {
      bytes = this.#read()
    } catch (error) {
      throw new LatchkeyError('ERR_TOKEN_INVALID', `${this.#path}: the token cannot be read`, {
        hint: 'check the projected volume of the service account token',
        cause: error,
      })
    }
    let length = bytes.byteLength
    while (length > 0 && (bytes[length - 1] === 0x0a || bytes[length - 1] === 0x0d)) length -= 1
    const token = SecretBytes.copyOf(bytes.subarray(0, length))
    bytes.fill(0)
    const problem = problemOf(token.expose())
    if (problem === undefined) return token
    token[Symbol.dispose]()
    throw new LatchkeyError('ERR_TOKEN_INVALID', `${this.#path}: the token ${problem}`, {
      hint: 'check the projected volume of the service account token',
    })
  }
}

function problemOf(bytes: Uint8Array): string | undefined {
  if (bytes.byteLength === 0) return 'is empty'
  if (bytes.byteLength > maxTokenBytes) return `is longer than ${maxTokenBytes} bytes`
  const printable = bytes.every((byte) => byte > 0x20 && byte < 0x7f)
  return printable ? undefined : 'is not one line of printable ASCII'
}

function digest(token: SecretBytes): string {
  return createHash('sha256').update(token.expose()).digest('base64')
}
