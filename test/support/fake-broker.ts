import { Server, ServerCredentials, status } from '@grpc/grpc-js'
import type { ServerDuplexStream, ServiceDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import type { ExecutionContext } from 'ava'
import { once, EventEmitter } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { HostPort } from '../../src/base/address.ts'
import { decodeMessage } from '../../src/sidecar/broker/decode.ts'
import type { Identity } from '../e2e/support/authority.ts'

/** A message as proto-loader gives and takes it. */
export type WireMessage = Readonly<Record<string, unknown>>

interface DeliverMethod {
  requestSerialize(message: WireMessage): Buffer
  requestDeserialize(bytes: Buffer): WireMessage
  responseSerialize(message: WireMessage): Buffer
  responseDeserialize(bytes: Buffer): WireMessage
}

const definition = loadSync(
  fileURLToPath(new URL('../../proto/latchkey/v1/broker.proto', import.meta.url)),
  { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true },
)
const service = definition['latchkey.v1.Broker'] as unknown as ServiceDefinition

/** The real protobuf codec of `Deliver`, against which ours is tested. */
export const deliverCodec = service['Deliver'] as unknown as DeliverMethod

/** One stream that a sidecar opened. */
export interface FakeStream {
  /** What the sidecar has sent so far, the opening message first. */
  readonly received: WireMessage[]
  readonly ended: Promise<void>
  send(message: WireMessage): void
  accept(heartbeatIntervalMs?: number): void
  /** Sends a set of items; gives its sequence number. */
  sendSet(items: readonly WireMessage[], version?: string): number
  goodbye(reason: string, window?: { min: number; max: number }): void
  /** Ends the stream with a gRPC status. */
  end(code: status, details?: string): void
  /** Breaks the connection off. */
  destroy(): void
  /**
   * Resolves with the first acknowledgement of that set whose outcome is `outcome`, none from before
   * the one that it last resolved with.
   */
  acknowledged(sequence: number, outcome?: string): Promise<WireMessage>
  /** Resolves with the first received message for which `matches` holds, past or to come. */
  message(matches: (message: WireMessage) => boolean): Promise<WireMessage>
}

/** A broker of a test's own: real gRPC over real TLS on loopback, and no opinion of its own. */
export interface FakeBroker {
  readonly address: HostPort
  readonly streams: readonly FakeStream[]
  /** The next stream that is opened, or that was opened and not asked for yet. */
  nextStream(): Promise<FakeStream>
  stop(): Promise<void>
}

/** Starts a broker; `port` 0 lets the system choose. It stops with the test. */
export async function startFakeBroker(
  t: ExecutionContext,
  options: { readonly identity: Identity; readonly port?: number },
): Promise<FakeBroker> {
  const streams: FakeStream[] = []
  const arrivals = new EventEmitter()
  let asked = 0
  const server = new Server({ 'grpc.max_receive_message_length': 1 << 20 })
  server.addService(service, {
    Deliver: (call: ServerDuplexStream<WireMessage, WireMessage>) => {
      streams.push(fakeStream(call))
      arrivals.emit('stream')
    },
    DeliveryStatus: () => undefined,
  })
  const credentials = ServerCredentials.createSsl(null, [
    {
      private_key: Buffer.from(options.identity.key),
      cert_chain: Buffer.from(options.identity.cert),
    },
  ])
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${options.port ?? 0}`, credentials, (error, bound) => {
      if (error === null) resolve(bound)
      else reject(error)
    })
  })
  const stop = async (): Promise<void> => {
    server.forceShutdown()
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
  }
  t.teardown(stop)
  return {
    address: { host: '127.0.0.1', port },
    streams,
    nextStream: async () => {
      for (;;) {
        const stream = streams[asked]
        if (stream !== undefined) {
          asked += 1
          return stream
        }
        await once(arrivals, 'stream')
      }
    },
    stop,
  }
}

function fakeStream(call: ServerDuplexStream<WireMessage, WireMessage>): FakeStream {
  const received: WireMessage[] = []
  const acknowledgedAt = new Map<number, number>()
  const news = new EventEmitter()
  let sequence = 0
  call.on('data', (message: WireMessage) => {
    received.push(message)
    news.emit('message')
  })
  call.on('error', () => undefined)
  const ended = new Promise<void>((resolve) => {
    call.once('end', resolve)
    call.once('cancelled', resolve)
    call.once('close', resolve)
  })
  call.on('end', () => {
    call.end()
  })
  const send = (message: WireMessage): void => {
    call.write(message)
  }
  return {
    received,
    ended,
    send,
    accept: (heartbeatIntervalMs = 10_000) => {
      send({
        accepted: {
          protocol_version: 1,
          heartbeat_interval_ms: heartbeatIntervalMs,
          replica: 'fake',
        },
      })
    },
    sendSet: (items, version) => {
      sequence += 1
      send({ secret_set: { sequence, version: version ?? `v${sequence}`, items } })
      return sequence
    },
    goodbye: (reason, window = { min: 0, max: 0 }) => {
      send({
        goodbye: { reason, reconnect_min_ms: window.min, reconnect_max_ms: window.max },
      })
    },
    end: (code, details = '') => {
      call.emit('error', { code, details })
    },
    destroy: () => {
      call.destroy()
    },
    acknowledged: async (sequence, outcome = 'OUTCOME_WRITTEN') => {
      for (;;) {
        for (let at = acknowledgedAt.get(sequence) ?? 0; at < received.length; at += 1) {
          const each = received[at]?.['acknowledgement'] as WireMessage | null | undefined
          if (each?.['sequence'] !== sequence || each['outcome'] !== outcome) continue
          acknowledgedAt.set(sequence, at)
          return each
        }
        await once(news, 'message')
      }
    },
    message: async (matches) => {
      for (;;) {
        const found = received.find(matches)
        if (found !== undefined) return found
        await once(news, 'message')
      }
    },
  }
}

/** An item of a set that is ready. */
export function readyItem(
  secret: string,
  values: Readonly<Record<string, string | Uint8Array>>,
): WireMessage {
  return {
    secret,
    status: 'STATUS_READY',
    version: 'item',
    entries: Object.entries(values)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => ({ key, value: Buffer.from(value as string) })),
  }
}

/** An item of a set with another status. */
export function itemOf(
  secret: string,
  state: 'STATUS_DENIED' | 'STATUS_NOT_FOUND' | 'STATUS_UNAVAILABLE' | 'STATUS_UNSPECIFIED',
): WireMessage {
  return { secret, status: state }
}

/** How the sidecar reads a message, with its values in hex, which a secret's own JSON would hide. */
export function shownMessage(message: WireMessage): unknown {
  const result = decodeMessage(deliverCodec.responseSerialize(message))
  if (result.kind !== 'secret-set') return result
  const items = result.items.map((item) => ({
    ...item,
    entries: item.entries.map(({ key, value }) => [
      key,
      Buffer.from(value.expose()).toString('hex'),
    ]),
  }))
  return { ...result, items }
}
