import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { ClientHttp2Session } from 'node:http2'
import { SecretBytes } from '../../src/base/secret.ts'
import { connectToBroker } from '../../src/sidecar/broker/connect.ts'
import { decodeMessage } from '../../src/sidecar/broker/decode.ts'
import { encodeMessage } from '../../src/sidecar/broker/encode.ts'
import { GrpcStream } from '../../src/sidecar/broker/grpc-stream.ts'
import { maxBrokerMessageBytes } from '../../src/sidecar/broker/messages.ts'

/** Many pods' streams in one process, by the sidecar's own client code, without its files. */
export interface BrokerClients {
  readonly count: number
  /** Opens streams until there are `count`; resolves when each has its first set. */
  grow(count: number): Promise<void>
  /**
   * Resolves when every stream has got a set with `value`, with the time of each on the clock of
   * `performance.now()`.
   */
  received(value: string): Promise<readonly number[]>
  close(): void
}

interface Client {
  readonly session: ClientHttp2Session
  latest: string
}

const openingAtOnce = 32

/** Clients of the broker on 127.0.0.1:`port`; pod `n` has token `tokenOf(n)`. */
export function brokerClients(options: {
  readonly port: number
  readonly ca: string
  readonly tokenOf: (pod: number) => string
  readonly secret: string
  readonly key: string
}): BrokerClients {
  const clients: Client[] = []
  const stop = new AbortController()
  let onSet: (value: string, at: number) => void = () => undefined

  const open = async (pod: number): Promise<Client> => {
    const session = await connectToBroker(
      { address: { host: '127.0.0.1', port: options.port }, serverName: undefined },
      { trusted: options.ca, deadlineMs: 60_000, signal: stop.signal },
    )
    const client: Client = { session, latest: '' }
    const path = '/latchkey.v1.Broker/Deliver'
    const stream = new GrpcStream(session, { path, maxMessageBytes: maxBrokerMessageBytes })
    const first = Promise.withResolvers<undefined>()
    void read(stream, (value) => {
      client.latest = value
      onSet(value, performance.now())
      first.resolve(undefined)
    }).catch(first.reject)
    await stream.send(
      encodeMessage({
        kind: 'open',
        token: SecretBytes.take(Buffer.from(options.tokenOf(pod))),
        references: [{ secret: options.secret, keys: [options.key] }],
        instance: randomBytes(16),
        planDigest: '',
        client: 'bench',
      }),
    )
    await first.promise
    return client
  }
  return {
    get count() {
      return clients.length
    },
    grow: async (count) => {
      let next = clients.length
      const worker = async (): Promise<void> => {
        while (next < count) {
          const pod = next
          next += 1
          clients.push(await open(pod))
        }
      }
      await Promise.all(Array.from({ length: openingAtOnce }, worker))
    },
    received: (value) => {
      const times: number[] = []
      const { promise, resolve } = Promise.withResolvers<readonly number[]>()
      onSet = (seen, at) => {
        if (seen === value && times.push(at) === clients.length) resolve(times)
      }
      return promise
    },
    close: () => {
      stop.abort()
      for (const { session } of clients) session.destroy()
    },
  }
}

/** Reads sets until the stream ends, and tells the value of each. */
async function read(stream: GrpcStream, onValue: (value: string) => void): Promise<void> {
  for await (const bytes of stream.messages()) {
    const message = decodeMessage(bytes)
    if (message.kind !== 'secret-set') continue
    const [item] = message.items
    const [entry] = item?.entries ?? []
    if (entry !== undefined) onValue(Buffer.from(entry.value.expose()).toString())
  }
  throw new Error('the broker ended a stream')
}

/** Resolves once something listens on 127.0.0.1:`port`. */
export async function listening(port: number): Promise<void> {
  const { connect } = await import('node:net')
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const socket = connect(port, '127.0.0.1')
    const up = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false)
    socket.destroy()
    if (up) return
    await new Promise((done) => setTimeout(done, 50))
  }
  throw new Error(`nothing listens on 127.0.0.1:${port}`)
}
