import { Client, credentials, type Server, type ServiceError, type status } from '@grpc/grpc-js'
import type { ExecutionContext } from 'ava'
import type { IncomingHttpHeaders } from 'node:http'
import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type Settings,
} from 'node:http2'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import {
  GrpcConnections,
  localLimits,
  type GrpcLimits,
  type TurnedAway,
} from '../../src/net/grpc-connections.ts'
import type { SocketListener } from '../../src/net/unix-listener.ts'
import { listening, socketDirectory } from './listening.ts'

const bytes = (value: Buffer): Buffer => value
const path = '/test.Echo/Say'

/** A running echo service: see {@link echoing}. */
export interface Echo {
  readonly connections: GrpcConnections
  readonly listener: SocketListener
  readonly path: string
  readonly turnedAway: readonly TurnedAway[]
  /** Answers, one for each `wait` that came. */
  readonly release: readonly (() => void)[]
}

/** A running echo service: answers with the request, or, for `wait`, when it is released. */
export async function echoing(
  t: ExecutionContext,
  limits: Partial<GrpcLimits> = {},
): Promise<Echo> {
  const turnedAway: TurnedAway[] = []
  const release: (() => void)[] = []
  const register = (server: Server): void => {
    server.register(
      path,
      (call: { request: Buffer }, callback: (error: null, answer: Buffer) => void) => {
        if (call.request.toString() === 'wait')
          release.push(() => {
            callback(null, call.request)
          })
        else callback(null, call.request)
      },
      bytes,
      bytes,
      'unary',
    )
  }
  const connections = new GrpcConnections({
    limits: { ...localLimits, ...limits },
    register,
    onCount: () => undefined,
    onTurnedAway: (reason) => turnedAway.push(reason),
  })
  const socketPath = join(await socketDirectory(t), 's')
  const listener = await listening(t, socketPath, {
    onConnection: (socket) => {
      connections.accept(socket)
    },
  })
  t.teardown(() => connections.drain(0))
  return { connections, listener, path: socketPath, turnedAway, release }
}

/** What a call came to: the answer, or the status. */
export type Said = string | { readonly code: status; readonly details: string }

/** A gRPC client of its own connection. */
export function grpcClient(
  t: ExecutionContext,
  socketPath: string,
): { readonly client: Client; readonly say: (text: string, deadlineMs?: number) => Promise<Said> } {
  const client = new Client(`unix://${socketPath}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_send_message_length': -1,
  })
  t.teardown(() => {
    client.close()
  })
  return {
    client,
    say: (text: string, deadlineMs = 30_000): Promise<Said> =>
      new Promise((resolve) => {
        const deadline = Date.now() + deadlineMs
        client.makeUnaryRequest(
          path,
          bytes,
          bytes,
          Buffer.from(text),
          { deadline },
          (error: ServiceError | null, answer?: Buffer) => {
            resolve(error === null ? String(answer) : { code: error.code, details: error.details })
          },
        )
      }),
  }
}

/** A bare connection, and when it ended. */
export function bareConnection(
  t: ExecutionContext,
  socketPath: string,
): { readonly socket: Socket; readonly closed: Promise<void>; readonly received: () => Buffer } {
  const socket: Socket = connect(socketPath)
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined)
  const received: Buffer[] = []
  socket.on('data', (chunk: Buffer) => received.push(chunk))
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => {
      resolve()
    })
  })
  return { socket, closed, received: () => Buffer.concat(received) }
}

/** An HTTP/2 session that speaks gRPC by hand. */
export interface RawSession {
  readonly session: ClientHttp2Session
  readonly closed: Promise<void>
  /** Opens a request, sends `body` and leaves it unfinished. */
  readonly begin: (
    body: Buffer,
    headers?: Record<string, string>,
  ) => { readonly stream: ClientHttp2Stream; readonly status: Promise<string | undefined> }
}

/** A {@link RawSession}, for requests that no client library would make. */
export function rawSession(
  t: ExecutionContext,
  socketPath: string,
  settings: Settings = {},
): RawSession {
  const session: ClientHttp2Session = connectHttp2('http://localhost', {
    settings,
    createConnection: () => connect(socketPath),
  })
  session.on('error', () => undefined)
  t.teardown(() => {
    session.destroy()
  })
  return {
    session,
    closed: new Promise<void>((resolve) => {
      session.on('close', () => {
        resolve()
      })
    }),
    begin: (body, headers = {}) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      })
      stream.on('error', () => undefined)
      const status = new Promise<string | undefined>((resolve) => {
        const look = (found: IncomingHttpHeaders): void => {
          const code = found['grpc-status']
          if (typeof code === 'string') resolve(code)
        }
        stream.on('response', look)
        stream.on('trailers', look)
        stream.on('close', () => {
          resolve(undefined)
        })
      })
      stream.resume()
      if (body.byteLength > 0) stream.write(body)
      return { stream, status }
    },
  }
}

/** The client's preface and an empty SETTINGS frame. */
export const preface = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
])
