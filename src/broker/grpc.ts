import { Metadata, status, type ServerDuplexStream, type ServerWritableStream } from '@grpc/grpc-js'
import { LatchkeyError } from '../base/errors.ts'
import { toGrpcFailure } from '../net/grpc-status.ts'
import { decodeClientMessage, decodeStatusQuestion } from './decode.ts'
import { encodeGoodbye, encodePodStatus, encodeReplicaStatus } from './encode.ts'
import { goodbyeStatus } from './goodbye.ts'
import { protocolLimits, type GoodbyeMessage } from './messages.ts'
import type { Broker } from './service.ts'
import { deliveryStatus, type StatusDeps } from './status.ts'
import type { PodStream, StreamTransport } from './stream.ts'

// Translation only: gRPC on one side, the broker's own words on the other.

/** Messages travel as they are: what they mean is read and written in decode.ts and encode.ts. */
const asItIs = {
  requestSerialize: (message: Buffer) => message,
  requestDeserialize: (message: Buffer) => message,
  responseSerialize: (message: Buffer) => message,
  responseDeserialize: (message: Buffer) => message,
}

/** `latchkey.v1.Broker` of broker.proto. */
export const brokerDefinition = {
  Deliver: {
    path: '/latchkey.v1.Broker/Deliver',
    requestStream: true,
    responseStream: true,
    ...asItIs,
  },
  DeliveryStatus: {
    path: '/latchkey.v1.Broker/DeliveryStatus',
    requestStream: false,
    responseStream: true,
    ...asItIs,
  },
} as const

/** What the handlers need besides the broker. */
export interface GrpcDeps {
  readonly broker: Broker
  readonly status: StatusDeps
  /** Milliseconds until the Open must have come. */
  readonly openWithinMs: number
  /** Milliseconds after a goodbye until a peer that does not read is cut off. */
  readonly goodbyeWithinMs: number
  /** Cuts the connection of the peer, `ADDRESS:PORT`. */
  readonly cut: (peer: string) => void
  /** A whole Open has come over the connection of the peer. */
  readonly onAsked: (peer: string) => void
  /** A call of which that was told is over. */
  readonly onOver: (peer: string) => void
  /** Something failed that should not. */
  readonly onFailure: (error: unknown) => void
}

type DeliverCall = ServerDuplexStream<Buffer, Buffer>
type StatusCall = ServerWritableStream<Buffer, Buffer>

/** Handlers for {@link brokerDefinition}. */
export function brokerHandlers(deps: GrpcDeps): {
  Deliver: (call: DeliverCall) => void
  DeliveryStatus: (call: StatusCall) => void
} {
  return {
    Deliver: (call) => {
      serveDeliver(call, deps)
    },
    DeliveryStatus: (call) => {
      answerStatus(call, deps).catch((error: unknown) => {
        const { code, details } = toGrpcFailure(error)
        if (code === status.INTERNAL) deps.onFailure(error)
        call.emit('error', { code, details, metadata: new Metadata() })
      })
    },
  }
}

function serveDeliver(call: DeliverCall, deps: GrpcDeps): void {
  const { broker } = deps
  const transport = createTransport(call, deps)
  const connection = call.getPeer()
  let state: 'waiting' | 'opening' | PodStream = 'waiting'
  const deadline = setTimeout(() => {
    broker.refuse(transport, new LatchkeyError('ERR_DEADLINE', 'the client did not open in time'))
  }, deps.openWithinMs)
  deadline.unref()

  const open = async (bytes: Buffer): Promise<void> => {
    clearTimeout(deadline)
    const message = decodeClientMessage(bytes)
    if (message.kind !== 'open') {
      throw new LatchkeyError('ERR_MESSAGE_INVALID', 'the first message is not Open')
    }
    state = 'opening'
    deps.onAsked(connection)
    call.once('close', () => {
      deps.onOver(connection)
    })
    // What the client says next waits in the connection, not here.
    call.pause()
    const stream = await broker.open(transport, message)
    message.token.fill(0)
    if (stream === undefined) return
    state = stream
    if (transport.signal.aborted) stream.end('cancelled')
    else call.resume()
  }

  call.on('data', (bytes: Buffer) => {
    if (transport.signal.aborted) return
    if (state === 'waiting') {
      open(bytes).catch((error: unknown) => {
        broker.refuse(transport, error)
      })
    } else if (state !== 'opening') {
      const stream = state
      try {
        stream.receive(decodeClientMessage(bytes))
      } catch (error) {
        stream.fail(error)
      } finally {
        bytes.fill(0)
      }
    }
  })
  const leave = (): void => {
    clearTimeout(deadline)
    transport.abort()
    if (typeof state !== 'string') state.end('cancelled')
  }
  call.on('cancelled', leave)
  call.on('end', () => {
    leave()
    call.end()
  })
}

function createTransport(call: DeliverCall, deps: GrpcDeps): StreamTransport & { abort(): void } {
  const gone = new AbortController()
  const connection = call.getPeer()
  return {
    peer: addressOf(connection),
    signal: gone.signal,
    abort: () => {
      gone.abort(new LatchkeyError('ERR_ABORTED', 'the client is gone'))
    },
    send: (message) =>
      new Promise((resolve, reject) => {
        // grpc-js copies the message at once, so its owner may wipe it when this has returned.
        call.write(message, (error?: Error | null) => {
          if (error) reject(error)
          else resolve()
        })
      }),
    end: (goodbye: GoodbyeMessage) => {
      if (gone.signal.aborted) return
      gone.abort(new LatchkeyError('ERR_ABORTED', 'the stream has ended'))
      call.write(encodeGoodbye(goodbye))
      const { reason } = goodbye
      call.emit('error', { code: goodbyeStatus[reason], details: reason, metadata: new Metadata() })
      const timer = setTimeout(() => {
        deps.cut(connection)
      }, deps.goodbyeWithinMs)
      timer.unref()
      call.once('close', () => {
        clearTimeout(timer)
      })
    },
  }
}

async function answerStatus(call: StatusCall, deps: GrpcDeps): Promise<void> {
  const gone = new AbortController()
  call.on('cancelled', () => {
    gone.abort(new LatchkeyError('ERR_ABORTED', 'the client is gone'))
  })
  const { replica, pods } = await deliveryStatus(
    {
      token: bearerToken(call.metadata),
      question: decodeStatusQuestion(call.request),
      peer: addressOf(call.getPeer()),
      signal: gone.signal,
    },
    deps.status,
  )
  const send = (message: Buffer): Promise<void> =>
    new Promise((resolve, reject) => {
      gone.signal.addEventListener(
        'abort',
        () => {
          reject(gone.signal.reason as Error)
        },
        { once: true },
      )
      call.write(message, () => {
        resolve()
      })
    })
  await send(encodeReplicaStatus(replica))
  for (const pod of pods) await send(encodePodStatus(pod))
  call.end()
}

function bearerToken(metadata: Metadata): Uint8Array {
  const [value] = metadata.get('authorization')
  const token = typeof value === 'string' ? /^Bearer ([\x21-\x7e]+)$/i.exec(value)?.[1] : undefined
  if (token === undefined || token.length > protocolLimits.tokenBytes) {
    throw new LatchkeyError('ERR_TOKEN_REFUSED', 'there is no bearer token')
  }
  return Buffer.from(token)
}

/** The address out of grpc-js's `ADDRESS:PORT`, IPv6 with or without brackets. */
function addressOf(peer: string): string {
  return peer.slice(0, peer.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1')
}
