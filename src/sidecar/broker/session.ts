import type { X509Certificate } from 'node:crypto'
import type { ClientHttp2Session } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { Clock } from '../../base/clock.ts'
import { LatchkeyError } from '../../base/errors.ts'
import { connectToBroker, type BrokerAddress } from './connect.ts'
import { decodeMessage } from './decode.ts'
import { encodeMessage } from './encode.ts'
import { GrpcStream } from './grpc-stream.ts'
import { maxBrokerMessageBytes, protocolVersion, wipeSet } from './messages.ts'
import type { Accepted, BrokerMessage, Goodbye, OpenMessage, SidecarMessage } from './messages.ts'
import { peerChain } from './peer-chain.ts'
import { malformed } from './protocol-error.ts'

/** How long the steps of opening a stream may take, in milliseconds. */
export interface SessionDeadlines {
  /** TCP and TLS. */
  readonly connectMs: number
  /** From the opening message to the broker's acceptance, which includes the token's review. */
  readonly acceptMs: number
}

/** What a session tells after it was accepted. */
export type SessionMessage = Exclude<BrokerMessage, Accepted>

/** An open stream. To be disposed of, whatever happens. */
export interface BrokerSession extends Disposable {
  readonly accepted: Accepted
  /** The certificates by which the broker was verified, its own first. */
  readonly chain: readonly X509Certificate[]
  /**
   * What the broker says, until it ends the stream. Throws `ERR_BROKER_UNREACHABLE` after three
   * heartbeats were missed or the connection broke, `ERR_BROKER_PROTOCOL`, `ERR_BROKER_REFUSED`.
   */
  messages(): AsyncGenerator<SessionMessage, void>
  /**
   * Sends a message and wipes what it was encoded into. Throws `ERR_BROKER_UNREACHABLE`, also when
   * the broker takes nothing for as long as three heartbeats.
   */
  send(message: SidecarMessage): Promise<void>
  /** Says that nothing more is sent, and resolves when all that was sent has left. */
  finish(): Promise<void>
}

/** What opening a stream came to. */
export type SessionOpening =
  | { readonly kind: 'accepted'; readonly session: BrokerSession }
  | { readonly kind: 'refused'; readonly goodbye: Goodbye }

const method = '/latchkey.v1.Broker/Deliver'

/**
 * Opens a stream: verifies the broker, then sends `open`, then waits to be accepted.
 *
 * @throws `ERR_BROKER_UNTRUSTED`, `ERR_BROKER_UNREACHABLE`, `ERR_BROKER_PROTOCOL`,
 * `ERR_BROKER_REFUSED`; the signal's reason when aborted.
 */
export async function openSession(
  broker: BrokerAddress,
  options: {
    readonly open: OpenMessage
    readonly trusted: string
    readonly deadlines: SessionDeadlines
    readonly clock: Clock
    readonly signal: AbortSignal
  },
): Promise<SessionOpening> {
  const { deadlines, clock, signal } = options
  const connection = await connectToBroker(broker, {
    trusted: options.trusted,
    deadlineMs: deadlines.connectMs,
    signal,
  })
  using opening = new DisposableStack()
  opening.defer(() => {
    connection.destroy()
  })
  const stream = new GrpcStream(connection, {
    path: method,
    maxMessageBytes: maxBrokerMessageBytes,
  })
  const abort = (): void => {
    stream.close()
  }
  signal.addEventListener('abort', abort, { once: true })
  opening.defer(() => {
    signal.removeEventListener('abort', abort)
  })
  const incoming = new IncomingMessages(stream, { clock, signal })
  try {
    await send(stream, options.open, { clock, withinMs: deadlines.acceptMs })
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
  const first = await incoming.next(deadlines.acceptMs)
  if (first?.kind === 'goodbye') return { kind: 'refused', goodbye: first }
  if (first?.kind !== 'accepted') throw malformed('the first one accepts nothing')
  if (first.protocolVersion !== protocolVersion) {
    throw malformed('it answers in a version that was not offered')
  }
  const parts = { first, stream, incoming, connection, clock }
  return { kind: 'accepted', session: sessionOf(parts, opening) }
}

function sessionOf(
  parts: {
    readonly first: Accepted
    readonly stream: GrpcStream
    readonly incoming: IncomingMessages
    readonly connection: ClientHttp2Session
    readonly clock: Clock
  },
  opening: DisposableStack,
): BrokerSession {
  const { first, stream, incoming, connection, clock } = parts
  const silenceMs = 3 * first.heartbeatIntervalMs
  const open = opening.move()
  let newest = 0
  return {
    accepted: first,
    chain: peerChain(connection.socket as TLSSocket),
    messages: async function* () {
      for (;;) {
        const message = await incoming.next(silenceMs)
        if (message === undefined) return
        if (message.kind === 'accepted') throw malformed('it accepts the stream twice')
        if (message.kind === 'secret-set') {
          if (message.sequence <= newest) {
            wipeSet(message)
            throw malformed('its set is not newer than the one before')
          }
          newest = message.sequence
        }
        yield message
        if (message.kind === 'goodbye') return
      }
    },
    send: (message) => send(stream, message, { clock, withinMs: silenceMs }),
    finish: () => stream.finish(),
    [Symbol.dispose]: () => {
      open.dispose()
    },
  }
}

/** The messages of a stream, each within its time. */
class IncomingMessages {
  readonly #frames: AsyncGenerator<Uint8Array, void>
  readonly #stream: GrpcStream
  readonly #options: { readonly clock: Clock; readonly signal: AbortSignal }

  constructor(
    stream: GrpcStream,
    options: { readonly clock: Clock; readonly signal: AbortSignal },
  ) {
    this.#stream = stream
    this.#frames = stream.messages()
    this.#options = options
  }

  /** The next message; `undefined` at the end. */
  async next(withinMs: number): Promise<BrokerMessage | undefined> {
    const { clock, signal } = this.#options
    const waiting = { late: false, over: new AbortController() }
    void clock.sleep(withinMs, waiting.over.signal).then(
      () => {
        waiting.late = true
        this.#stream.close()
      },
      () => undefined,
    )
    try {
      const frame = await this.#frames.next()
      if (frame.done !== true) return decodeMessage(frame.value)
    } catch (error) {
      signal.throwIfAborted()
      throw waiting.late ? silent(withinMs) : error
    } finally {
      waiting.over.abort()
    }
    signal.throwIfAborted()
    if (waiting.late) throw silent(withinMs)
    return undefined
  }
}

function silent(ms: number): LatchkeyError {
  return new LatchkeyError(
    'ERR_BROKER_UNREACHABLE',
    `the broker said nothing for ${ms / 1000} seconds`,
  )
}

/** Sends a message. A peer that takes nothing for so long loses the stream, as a silent one does. */
async function send(
  stream: GrpcStream,
  message: SidecarMessage,
  { clock, withinMs }: { readonly clock: Clock; readonly withinMs: number },
): Promise<void> {
  const encoded = encodeMessage(message)
  const over = new AbortController()
  void clock.sleep(withinMs, over.signal).then(
    () => {
      stream.close()
    },
    () => undefined,
  )
  try {
    await stream.send(encoded)
  } finally {
    over.abort()
    encoded.fill(0)
  }
}
