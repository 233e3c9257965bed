import type { Socket } from 'node:net'
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls'
import type { HostPort } from '../base/address.ts'
import type { Clock } from '../base/clock.ts'
import { Crowd } from './crowd.ts'
import { listenTcp } from './listen-tcp.ts'
import {
  readTlsIdentity,
  watchTlsIdentity,
  type TlsFiles,
  type TlsIdentity,
} from './tls-identity.ts'

/** Bounds of a listener. */
export interface TlsLimits {
  /** Most connections at a time; more are closed at once. */
  readonly maxConnections: number
  /** Most handshakes at a time; one more takes the place of another, as {@link Crowd} says. */
  readonly maxHandshakes: number
  /** Milliseconds until a handshake must be done. */
  readonly handshakeTimeoutMs: number
}

/** What a listener tells, for logs and metrics. */
export interface TlsEvents {
  /** A certificate came into use: the first one, and each after it. */
  readonly identity: (identity: TlsIdentity) => void
  /** New files cannot be used; the certificate in use stays. */
  readonly identityProblem: (error: unknown) => void
  /** A connection ended before it began: a failed handshake, or one too many. */
  readonly refused: (reason: 'handshake' | 'limit') => void
}

/** A running listener. */
export interface TlsListener {
  /** Where it listens, with the port that the system chose. */
  readonly address: HostPort
  /** Connections at the moment, handshakes included. */
  connections(): number
  /** Stops accepting. Connections that are there stay. Resolves when the port is free. */
  stopAccepting(): Promise<void>
  /** Stops accepting and ends every connection. */
  close(): Promise<void>
}

/** How often certificate and key are looked at, in milliseconds. */
const identityEveryMs = 5_000

/**
 * Listens for HTTP/2 over TLS 1.3 and hands over each connection once its handshake is done. A new
 * certificate is used for new connections within seconds after its files have changed.
 *
 * @throws `ERR_TLS_INVALID`; `ERR_IO` when the address cannot be listened on.
 */
export async function openTlsListener(
  address: HostPort,
  options: {
    readonly files: TlsFiles
    readonly limits: TlsLimits
    readonly clock: Clock
    readonly events: TlsEvents
    /** Takes over the connection. */
    readonly onConnection: (socket: TLSSocket) => void
    /** How often to look for a new certificate, in milliseconds. Default 5,000. */
    readonly identityEveryMs?: number
  },
): Promise<TlsListener> {
  const { limits, events } = options
  const identity = await readTlsIdentity(options.files)
  const contextOf = ({ cert, key }: TlsIdentity): TlsOptions => ({
    cert,
    key,
    minVersion: 'TLSv1.3',
  })
  const server = createServer({
    ...contextOf(identity),
    ALPNProtocols: ['h2'],
    handshakeTimeout: limits.handshakeTimeoutMs,
    noDelay: true,
  })
  const sockets = new Set<TLSSocket>()
  const shaking = new Map<string, Socket>()
  const crowd = new Crowd<Socket>(limits.maxHandshakes, (socket) => {
    shaking.delete(peerOf(socket))
    events.refused('limit')
    socket.destroy()
  })
  server.maxConnections = limits.maxConnections
  server.on('drop', () => {
    events.refused('limit')
  })
  server.on('connection', (socket: Socket) => {
    const peer = peerOf(socket)
    shaking.set(peer, socket)
    socket.once('close', () => {
      crowd.leave(socket)
      if (shaking.get(peer) === socket) shaking.delete(peer)
    })
    crowd.enter(socket, socket.remoteAddress ?? '')
  })
  server.on('secureConnection', (socket) => {
    const peer = peerOf(socket)
    const raw = shaking.get(peer)
    if (raw !== undefined) crowd.leave(raw)
    shaking.delete(peer)
    // A connection without a listener for errors would end the process when it breaks.
    socket.on('error', () => undefined)
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    options.onConnection(socket)
  })
  server.on('tlsClientError', (_error, socket) => {
    // One that was refused for the limit has been told of already.
    if (shaking.has(peerOf(socket))) events.refused('handshake')
    socket.destroy()
  })
  const stop = new AbortController()
  const hint = 'choose another address, or stop what listens there'
  const bound = await listenTcp(server, address, { hint, backlog: 1_024 })
  events.identity(identity)
  void watchTlsIdentity(options.files, {
    current: identity,
    everyMs: options.identityEveryMs ?? identityEveryMs,
    clock: options.clock,
    signal: stop.signal,
    onChange: (next) => {
      server.setSecureContext(contextOf(next))
      events.identity(next)
    },
    onProblem: events.identityProblem,
  })
  let stopped: Promise<void> | undefined
  const stopAccepting = (): Promise<void> => {
    stop.abort()
    stopped ??= new Promise((resolve) =>
      server.close(() => {
        resolve()
      }),
    )
    return stopped
  }
  return {
    address: bound,
    connections: () => sockets.size + shaking.size,
    stopAccepting,
    close: async () => {
      const closed = stopAccepting()
      for (const socket of [...sockets, ...shaking.values()]) socket.destroy()
      await closed
    },
  }
}

/** The raw socket and the TLS socket of one connection are two objects with the same peer. */
function peerOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''} ${socket.remotePort ?? ''}`
}
