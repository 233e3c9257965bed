import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { TLSSocket } from 'node:tls'
import type { HostPort } from '../base/address.ts'
import type { Clock } from '../base/clock.ts'
import { Crowd } from '../net/crowd.ts'
import { openTlsListener, type TlsEvents } from '../net/tls.ts'
import type { TlsFiles } from '../net/tls-identity.ts'
import { brokerDefinition, brokerHandlers } from './grpc.ts'
import { protocolLimits } from './messages.ts'
import type { Broker } from './service.ts'
import type { StatusDeps } from './status.ts'

/**
 * Connections over which nothing is asked: each may hold a few hundred kilobytes of an Open that is
 * never finished.
 */
const maxIdleConnections = 512

/** A running server. */
export interface BrokerServer {
  /** Where it listens, with the port that the system chose. */
  readonly address: HostPort
  connections(): number
  /**
   * Sends every client to another replica, waits for them to go, at most for `graceMs`, and ends what
   * is left.
   */
  close(graceMs: number): Promise<void>
}

/** What a server needs from outside. */
export interface ServerDeps {
  readonly broker: Broker
  readonly status: StatusDeps
  readonly clock: Clock
  readonly events: TlsEvents
  readonly onFailure: (error: unknown) => void
  readonly maxStreams: number
}

/**
 * Serves a broker over TLS.
 *
 * @throws as {@link openTlsListener}.
 */
export async function openBrokerServer(
  address: HostPort,
  files: TlsFiles,
  deps: ServerDeps,
): Promise<BrokerServer> {
  const sockets = new Map<string, TLSSocket>()
  const idle = new Crowd<TLSSocket>(Math.min(maxIdleConnections, deps.maxStreams), (socket) => {
    deps.events.refused('limit')
    socket.destroy()
  })
  /** Calls that have asked for something, by connection. */
  const calls = new WeakMap<TLSSocket, number>()
  const server = new Server({
    'grpc.enable_channelz': 0,
    // One, and the one that takes its place.
    'grpc.max_concurrent_streams': 2,
    'grpc.max_receive_message_length': protocolLimits.clientMessageBytes,
    // A connection on which nothing was asked for yet, or is any more.
    'grpc.max_connection_idle_ms': 30_000,
    // Finds peers that are gone without a word, and keeps connections through idle timers of others.
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc-node.max_session_memory': 32,
  })
  server.addService(
    brokerDefinition,
    brokerHandlers({
      broker: deps.broker,
      status: deps.status,
      openWithinMs: 10_000,
      goodbyeWithinMs: 5_000,
      cut: (peer) => sockets.get(peer)?.destroy(),
      onAsked: (peer) => {
        const socket = sockets.get(peer)
        if (socket === undefined) return
        calls.set(socket, (calls.get(socket) ?? 0) + 1)
        idle.leave(socket)
      },
      onOver: (peer) => {
        const socket = sockets.get(peer)
        if (socket === undefined) return
        const left = (calls.get(socket) ?? 0) - 1
        calls.set(socket, left)
        if (left <= 0 && !socket.destroyed) idle.enter(socket, socket.remoteAddress ?? '')
      },
      onFailure: deps.onFailure,
    }),
  )
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  const listener = await openTlsListener(address, {
    files,
    limits: {
      maxConnections: deps.maxStreams + 2 * maxIdleConnections,
      maxHandshakes: 512,
      handshakeTimeoutMs: 10_000,
    },
    clock: deps.clock,
    events: deps.events,
    onConnection: (socket) => {
      const peer = peerOf(socket)
      sockets.set(peer, socket)
      socket.once('close', () => {
        idle.leave(socket)
        if (sockets.get(peer) === socket) sockets.delete(peer)
      })
      idle.enter(socket, socket.remoteAddress ?? '')
      if (!socket.destroyed) injector.injectConnection(socket)
    },
  })
  return {
    address: listener.address,
    connections: () => listener.connections(),
    close: async (graceMs) => {
      const freed = listener.stopAccepting()
      deps.broker.drain()
      injector.drain(graceMs)
      const grace = new AbortController()
      await Promise.race([freed, deps.clock.sleep(graceMs, grace.signal).catch(() => undefined)])
      grace.abort()
      await listener.close()
      server.forceShutdown()
    },
  }
}

/** As grpc-js names a peer, so that a call's connection can be found. */
function peerOf(socket: TLSSocket): string {
  return `${socket.remoteAddress ?? ''}:${socket.remotePort ?? ''}`
}
