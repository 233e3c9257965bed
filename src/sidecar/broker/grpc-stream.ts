import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import { constants } from 'node:http2'
import { LatchkeyError } from '../../base/errors.ts'
import { malformed } from './protocol-error.ts'

const headerBytes = 5

/** How a call ended: the gRPC status code, and for people its message. */
export interface GrpcStatus {
  readonly code: number
  readonly message: string
}

/**
 * One bidirectional gRPC call over an HTTP/2 session (gRPC over HTTP/2, PROTOCOL-HTTP2.md): without
 * compression, without deadline. Node.js's own HTTP/2 client costs a pod 4 MB of private memory
 * less than a gRPC library, for a single method of a single service.
 */
export class GrpcStream {
  readonly #stream: ClientHttp2Stream
  readonly #maxMessageBytes: number
  #trailers: IncomingHttpHeaders = {}
  #problem: LatchkeyError | undefined

  constructor(
    session: ClientHttp2Session,
    options: { readonly path: string; readonly maxMessageBytes: number },
  ) {
    this.#maxMessageBytes = options.maxMessageBytes
    this.#stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: options.path,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
      [constants.HTTP2_HEADER_TE]: 'trailers',
      'grpc-accept-encoding': 'identity',
      'user-agent': 'latchkey-sidecar',
    })
    this.#stream.once('response', (headers, flags) => {
      // A call that fails at once has its status here.
      if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) this.#trailers = headers
      this.#problem = checkResponse(headers)
      if (this.#problem !== undefined) this.#stream.close(constants.NGHTTP2_CANCEL)
    })
    this.#stream.once('trailers', (trailers: IncomingHttpHeaders) => {
      this.#trailers = trailers
    })
    // Also told to whoever reads; without this listener it would end the process.
    this.#stream.on('error', () => undefined)
  }

  /** Sends one message. Resolves when it was handed to the system; then the bytes can be wiped. */
  async send(message: Uint8Array): Promise<void> {
    const header = Buffer.alloc(headerBytes)
    header.writeUInt32BE(message.byteLength, 1)
    if (this.#stream.destroyed || this.#stream.writableEnded) throw lost(undefined)
    await new Promise<void>((resolve, reject) => {
      this.#stream.write(header)
      this.#stream.write(message, (error) => {
        if (error === null || error === undefined) resolve()
        else reject(lost(error))
      })
    })
  }

  /**
   * The messages as they come; each buffer is wiped when the next one is asked for. Ends when the
   * peer ends the call with status OK.
   *
   * @throws `ERR_BROKER_REFUSED` for a call that ended with another status, `ERR_BROKER_PROTOCOL`
   * for an answer that is not gRPC or too long, `ERR_BROKER_UNREACHABLE` when the connection breaks.
   */
  async *messages(): AsyncGenerator<Uint8Array, void> {
    const frames = new Deframer(this.#maxMessageBytes)
    try {
      for await (const chunk of this.#stream) {
        for (const message of frames.push(chunk as Buffer)) {
          try {
            yield message
          } finally {
            message.fill(0)
          }
        }
      }
    } catch (error) {
      if (this.#problem !== undefined) throw this.#problem
      if (error instanceof LatchkeyError) throw error
      throw lost(error)
    } finally {
      frames.wipe()
      this.close()
    }
    if (this.#problem !== undefined) throw this.#problem
    const { code, message } = this.status()
    if (code === 0) return
    throw new LatchkeyError(
      'ERR_BROKER_REFUSED',
      `the broker ended the stream with gRPC status ${code}${message === '' ? '' : ` (${message})`}`,
    )
  }

  /** The status that the peer gave; UNKNOWN (2) when it gave none. */
  status(): GrpcStatus {
    const code = Number(this.#trailers['grpc-status'] ?? Number.NaN)
    const message = this.#trailers['grpc-message']
    return {
      code: Number.isInteger(code) ? code : 2,
      message: (typeof message === 'string' ? message : '')
        .replaceAll(/[^\x20-\x7e]/g, '?')
        .slice(0, 200),
    }
  }

  /** Says that nothing more is sent, and resolves when all that was sent has left. */
  async finish(): Promise<void> {
    await new Promise<void>((resolve) => {
      if (this.#stream.destroyed) resolve()
      this.#stream.once('close', resolve)
      this.#stream.end(resolve)
    })
  }

  /** Breaks the call off. Whoever reads gets an end or an error. */
  close(error?: Error): void {
    this.#stream.destroy(error)
  }
}

/** Cuts a stream of bytes into messages. */
class Deframer {
  readonly #maxMessageBytes: number
  readonly #header = Buffer.alloc(headerBytes)
  #headerLength = 0
  #message: Uint8Array | undefined
  #length = 0

  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes
  }

  /** The messages that `chunk` completes. The chunk is wiped. */
  *push(chunk: Buffer): Generator<Uint8Array> {
    let rest: Uint8Array = chunk
    while (rest.byteLength > 0) {
      if (this.#message === undefined) {
        rest = this.#takeHeader(rest)
        if (this.#headerLength === headerBytes) this.#message = this.#begin()
      } else {
        rest = this.#takeBody(this.#message, rest)
      }
      if (this.#message !== undefined && this.#length === this.#message.byteLength) {
        const message = this.#message
        this.#message = undefined
        this.#headerLength = 0
        yield message
      }
    }
    chunk.fill(0)
  }

  wipe(): void {
    this.#message?.fill(0)
  }

  #takeHeader(bytes: Uint8Array): Uint8Array {
    const taken = bytes.subarray(0, headerBytes - this.#headerLength)
    this.#header.set(taken, this.#headerLength)
    this.#headerLength += taken.byteLength
    return bytes.subarray(taken.byteLength)
  }

  #takeBody(message: Uint8Array, bytes: Uint8Array): Uint8Array {
    const taken = bytes.subarray(0, message.byteLength - this.#length)
    message.set(taken, this.#length)
    this.#length += taken.byteLength
    return bytes.subarray(taken.byteLength)
  }

  #begin(): Uint8Array {
    if (this.#header[0] !== 0) throw malformed('it is compressed, which was not agreed')
    const length = this.#header.readUInt32BE(1)
    if (length > this.#maxMessageBytes) throw malformed('it is too long')
    this.#length = 0
    return new Uint8Array(length)
  }
}

function checkResponse(headers: IncomingHttpHeaders): LatchkeyError | undefined {
  const { ':status': status, 'content-type': type } = headers as IncomingHttpHeaders & {
    readonly ':status'?: number
  }
  if (status === 200 && type?.startsWith('application/grpc') === true) return undefined
  return malformed(`an answer with HTTP status ${status ?? 'none'} that is not gRPC`)
}

function lost(cause: unknown): LatchkeyError {
  return new LatchkeyError('ERR_BROKER_UNREACHABLE', 'the connection to the broker was lost', {
    cause,
  })
}
