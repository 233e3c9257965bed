import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { Socket } from 'node:net'
import { guardUnaryCalls, InFlight } from './grpc-guard.ts'

/** Bounds on what peers may make us hold. Times are in milliseconds. */
export interface GrpcLimits {
  /**
   * Open connections. One more takes the place of the oldest that never made a request, or else of the
   * one that made none for longest, and none within `requestMs`.
   */
  readonly maxConnections: number
  /** Requests in flight on one connection; clients wait beyond that (HTTP/2 setting). */
  readonly maxStreams: number
  /** Requests in flight on all connections; at one more, the slowest is turned away. */
  readonly maxInFlight: number
  /** Bytes of one request, after decompression; more is `RESOURCE_EXHAUSTED`. */
  readonly maxMessageBytes: number
  /** Megabytes that one connection's HTTP/2 session may hold. */
  readonly maxSessionMegabytes: number
  /** From connecting to the HTTP/2 preface. */
  readonly handshakeMs: number
  /** From a request's headers to its last byte, and from its answer to when that is taken. */
  readonly requestMs: number
  /** Without a request, until the connection is closed in good order. */
  readonly idleMs: number
  /** Between pings that find peers who no longer read. */
  readonly keepaliveMs: number
  /** For the answer to a ping. */
  readonly keepaliveTimeoutMs: number
}

/**
 * Limits for a local service with few clients, as the KMS plugin: an API server opens one connection
 * for each provider and asks a few times a minute. At worst, 1024 requests of 64 KiB are in memory.
 */
export const localLimits: GrpcLimits = {
  maxConnections: 64,
  maxStreams: 128,
  maxInFlight: 1024,
  maxMessageBytes: 65_536,
  maxSessionMegabytes: 4,
  handshakeMs: 5_000,
  requestMs: 10_000,
  idleMs: 300_000,
  keepaliveMs: 60_000,
  keepaliveTimeoutMs: 20_000,
}

/**
 * Why a connection was cut or a request turned away: `connections` and `in-flight` are too many of
 * them, `evicted` made room for another, `handshake` and `slow-request` took too long, and so did the
 * peer that was to take an answer in `unread-answer`.
 */
export const turnedAwayReasons = [
  'connections',
  'evicted',
  'handshake',
  'in-flight',
  'slow-request',
  'unread-answer',
] as const

/** One of {@link turnedAwayReasons}. */
export type TurnedAway = (typeof turnedAwayReasons)[number]

interface Connection {
  readonly socket: Socket
  readonly server: Server
  /** When the last whole request came, by `performance.now`; `undefined` for none. */
  usedAt: number | undefined
  closing: boolean
}

/** The client's preface (24 bytes) and an empty SETTINGS frame (9): RFC 9113 §3.4. */
const handshakeBytes = 33
const lingerMs = 1_000

/**
 * Serves gRPC on connections that somebody else accepts.
 *
 * @remarks
 * Each connection gets a grpc-js server of its own, which costs 10 kB: so the guard knows whose
 * request is slow, and connections can be closed one by one.
 */
export class GrpcConnections {
  readonly #connections = new Set<Connection>()
  readonly #inFlight = new InFlight()
  readonly #options: GrpcConnectionsOptions
  readonly #credentials = ServerCredentials.createInsecure()
  #draining = false

  constructor(options: GrpcConnectionsOptions) {
    this.#options = options
  }

  /** Open connections. */
  get size(): number {
    return this.#connections.size
  }

  /** Requests being received or answered. */
  get inFlight(): number {
    return this.#inFlight.count
  }

  /** Takes over `socket`. */
  accept(socket: Socket): void {
    if (this.size >= this.#options.limits.maxConnections && !this.#evict()) {
      this.#options.onTurnedAway('connections')
      socket.on('error', () => undefined)
      socket.destroy()
      return
    }
    const connection: Connection = {
      socket,
      server: this.#serverFor(() => connection),
      usedAt: undefined,
      closing: false,
    }
    this.#connections.add(connection)
    this.#options.onCount(this.size)
    this.#watch(connection)
    connection.server.createConnectionInjector(this.#credentials).injectConnection(socket)
    // A GOAWAY, and not a reset, tells the client that its request was not begun and may be repeated.
    if (this.#draining) this.#close(connection)
  }

  /**
   * Finishes what is in flight, at most for `graceMs`, and closes every connection; those accepted
   * from now on are told to go elsewhere.
   *
   * @returns how many connections had to be cut.
   */
  async drain(graceMs: number): Promise<{ readonly cut: number }> {
    this.#draining = true
    const closed = [...this.#connections].map((connection) => {
      this.#close(connection)
      return new Promise((resolve) => connection.socket.once('close', resolve))
    })
    let timer: NodeJS.Timeout | undefined
    const grace = new Promise((resolve) => {
      timer = setTimeout(resolve, graceMs)
    })
    await Promise.race([Promise.all(closed), grace])
    clearTimeout(timer)
    const cut = [...this.#connections]
    for (const { socket } of cut) socket.destroy()
    return { cut: cut.length }
  }

  #serverFor(connection: () => Connection): Server {
    const { limits, onTurnedAway, register } = this.#options
    const server = new Server({
      'grpc.enable_channelz': 0,
      'grpc.max_concurrent_streams': limits.maxStreams,
      'grpc.max_receive_message_length': limits.maxMessageBytes,
      'grpc.max_connection_idle_ms': limits.idleMs,
      'grpc.keepalive_time_ms': limits.keepaliveMs,
      'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
      'grpc-node.max_session_memory': limits.maxSessionMegabytes,
      interceptors: [
        guardUnaryCalls({
          inFlight: this.#inFlight,
          maxInFlight: limits.maxInFlight,
          requestMs: limits.requestMs,
          onReceived: () => {
            connection().usedAt = performance.now()
          },
          onTooMany: () => {
            onTurnedAway('in-flight')
          },
          onSlow: () => {
            onTurnedAway('slow-request')
          },
          onUnread: () => {
            onTurnedAway('unread-answer')
          },
        }),
      ],
    })
    register(server)
    return server
  }

  #watch(connection: Connection): void {
    const { socket } = connection
    const handshake = setTimeout(() => {
      if (socket.bytesRead >= handshakeBytes) return
      this.#options.onTurnedAway('handshake')
      socket.destroy()
    }, this.#options.limits.handshakeMs)
    // Once the session has said good-bye, Node.js waits for the peer to hang up, for ever.
    let linger: NodeJS.Timeout | undefined
    socket.once('finish', () => {
      linger = setTimeout(() => socket.destroy(), lingerMs)
    })
    socket.on('error', () => undefined)
    socket.once('close', () => {
      clearTimeout(handshake)
      clearTimeout(linger)
      this.#connections.delete(connection)
      this.#options.onCount(this.size)
    })
  }

  /** Makes room for one more connection. Returns whether that could be. */
  #evict(): boolean {
    let longest: { readonly connection: Connection; readonly usedAt: number } | undefined
    for (const connection of this.#connections) {
      const { usedAt } = connection
      if (usedAt === undefined) {
        this.#forget(connection)
        connection.socket.destroy()
        return true
      }
      if (longest === undefined || usedAt < longest.usedAt) longest = { connection, usedAt }
    }
    // Whatever it had asked for is answered or cut by then.
    const leastIdleMs = this.#options.limits.requestMs
    if (longest === undefined || performance.now() - longest.usedAt < leastIdleMs) return false
    const { connection } = longest
    this.#forget(connection)
    // A good client is told to connect anew when it next has a request, and loses none.
    this.#close(connection)
    setTimeout(() => connection.socket.destroy(), lingerMs).unref()
    return true
  }

  #forget(connection: Connection): void {
    this.#options.onTurnedAway('evicted')
    this.#connections.delete(connection)
  }

  #close(connection: Connection): void {
    if (connection.closing) return
    connection.closing = true
    // Sends GOAWAY; the session ends its socket when what is in flight is answered. The callback
    // says nothing about that: on Node.js 24 it comes at once.
    connection.server.tryShutdown(() => undefined)
  }
}

/** What {@link GrpcConnections} needs. */
export interface GrpcConnectionsOptions {
  readonly limits: GrpcLimits
  /** Adds the services, all unary, to a connection's server. */
  readonly register: (server: Server) => void
  readonly onCount: (open: number) => void
  readonly onTurnedAway: (reason: TurnedAway) => void
}
