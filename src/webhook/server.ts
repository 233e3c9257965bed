import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { Socket } from 'node:net'
import type { HostPort } from '../base/address.ts'
import { isLatchkeyError, LatchkeyError, systemCode } from '../base/errors.ts'
import { Crowd } from '../net/crowd.ts'
import { listenTcp } from '../net/listen-tcp.ts'
import type { Log } from '../observe/log.ts'
import type { RateLimit } from '../observe/rate-limit.ts'
import type { WebhookEvent } from './events.ts'
import type { WebhookMetrics } from './metrics.ts'

/** A certificate chain and its private key, PEM. */
export interface ServingCertificate {
  readonly cert: string | Buffer
  readonly key: string | Buffer
}

/** What the server needs from outside. */
export interface ServerDeps {
  /** Answers the body of a request with the body of a response. */
  readonly answer: (body: string) => Promise<string>
  readonly certificate: ServingCertificate
  readonly metrics: WebhookMetrics
  readonly log: Log<WebhookEvent>
  /** Limits the log lines that a peer can cause. */
  readonly limit: RateLimit
  /** Most connections at a time; one more takes the place of another, as {@link Crowd} says. Default 1,024. */
  readonly maxConnections?: number
}

/** A running server. */
export interface AdmissionServer {
  readonly address: HostPort
  readonly inFlight: () => number
  /** Uses another certificate for connections from now on. */
  replaceCertificate(certificate: ServingCertificate): void
  /** Goes on serving, and asks every client that it answers to connect anew the next time. */
  drain(): void
  /** Stops accepting, answers what has arrived, and closes, `withinMs` later whatever remains. */
  close(withinMs: number): Promise<void>
}

/** Path of the one endpoint; the request itself says what it is about. */
export const admissionPath = '/admit'

/** Two objects of the API server's largest size, and the review around them. */
const maxBodyBytes = 8 * 2 ** 20
/** Milliseconds for a whole request; the API server gives up after the 5 seconds of its configuration. */
const requestMs = 5_000
const maxInFlight = 256
/** What every request may have of memory, a pod of the usual size several times over. */
const usualBodyBytes = 64 * 2 ** 10
/** What all requests together may have beyond that. */
const maxLargeBytes = 24 * 2 ** 20
const defaultMaxConnections = 1_024

/**
 * Serves admission reviews over HTTPS. Only POST to {@link admissionPath}; bounded in size, number
 * and time.
 *
 * @throws `ERR_TLS_INVALID`, `ERR_IO` when the address cannot be listened on.
 */
export async function openAdmissionServer(
  address: HostPort,
  deps: ServerDeps,
): Promise<AdmissionServer> {
  let inFlight = 0
  let largeBytes = 0
  let draining = false
  const server = create(deps.certificate, (request, response) => {
    if (inFlight >= maxInFlight) {
      deps.metrics.failed('busy')
      sendBusy(response)
      return
    }
    inFlight += 1
    let ownLargeBytes = 0
    const reserve = (bytes: number): boolean => {
      const more = Math.max(0, bytes - usualBodyBytes) - ownLargeBytes
      const isRoom = largeBytes + more <= maxLargeBytes
      // Whoever is turned away leaves its part to the others.
      const change = isRoom ? more : -ownLargeBytes
      largeBytes += change
      ownLargeBytes += change
      return isRoom
    }
    if (draining) response.setHeader('Connection', 'close')
    response.once('close', () => {
      inFlight -= 1
      largeBytes -= ownLargeBytes
    })
    serve(request, response, { ...deps, reserve }).catch((error: unknown) => {
      fail(response, error, deps)
    })
  })
  server.on('tlsClientError', (_error, socket) => {
    socket.destroy()
  })
  boundConnections(server, deps.maxConnections ?? defaultMaxConnections)
  const hint = 'choose another address with --listen, or stop what listens there'
  const bound = await listenTcp(server, address, { hint })
  return {
    address: bound,
    inFlight: () => inFlight,
    replaceCertificate: (certificate) => {
      server.setSecureContext({ ...certificate, minVersion: 'TLSv1.2' })
    },
    drain: () => {
      draining = true
    },
    close: async (withinMs) => {
      const closed = new Promise<void>((resolve) => {
        server.close(() => {
          resolve()
        })
      })
      server.closeIdleConnections()
      const timer = setTimeout(() => {
        server.closeAllConnections()
      }, withinMs)
      await closed
      clearTimeout(timer)
    },
  }
}

/** A flood from one address pushes out itself, and not the API server. */
function boundConnections(server: Server, max: number): void {
  // Of a connection first the raw socket is known, and after the handshake the one inside.
  const sockets = new Map<string, Socket>()
  const crowd = new Crowd<string>(max, (peer) => {
    sockets.get(peer)?.destroy()
  })
  const know = (socket: Socket): void => {
    const { remoteAddress = '', remotePort = '' } = socket
    const peer = `${remoteAddress} ${remotePort}`
    sockets.set(peer, socket)
    socket.once('close', () => {
      if (sockets.get(peer) !== socket) return
      sockets.delete(peer)
      crowd.leave(peer)
    })
    crowd.enter(peer, remoteAddress)
  }
  server.on('connection', know)
  server.on('secureConnection', know)
  // Those that were pushed out count until they are closed.
  server.maxConnections = 2 * max
}

function create(
  certificate: ServingCertificate,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  try {
    return createServer(
      {
        ...certificate,
        minVersion: 'TLSv1.2',
        handshakeTimeout: requestMs,
        headersTimeout: requestMs,
        requestTimeout: requestMs,
        // Longer than the API server's own 90 seconds, so that it never meets a closing connection.
        keepAliveTimeout: 120_000,
        connectionsCheckingInterval: 1_000,
        maxHeaderSize: 16_384,
      },
      handler,
    )
  } catch {
    // The error of the TLS library is no cause: it may quote what it read.
    throw new LatchkeyError('ERR_TLS_INVALID', 'certificate and key cannot be used')
  }
}

/** Thrown for a body that would take more memory than is left for large ones. */
class Busy extends Error {}

interface RequestDeps extends ServerDeps {
  /** Asks for room for so many bytes of a body in all; `false` when there is none. */
  readonly reserve: (bytes: number) => boolean
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  deps: RequestDeps,
): Promise<void> {
  if (request.url?.split('?')[0] !== admissionPath) {
    request.resume()
    send(response, 404, `the path is ${admissionPath}\n`)
    return
  }
  if (request.method !== 'POST') {
    request.resume()
    response.setHeader('Allow', 'POST')
    send(response, 405, 'only POST is served\n')
    return
  }
  const body = await readBody(request, deps)
  send(response, 200, await deps.answer(body), 'application/json')
}

async function readBody(request: IncomingMessage, { reserve }: RequestDeps): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  let busy = false
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.byteLength
    if (length > maxBodyBytes) {
      throw new LatchkeyError('ERR_LIMIT', `the body has more than ${maxBodyBytes} bytes`)
    }
    // The rest is read all the same, as a client that still writes may not see an answer.
    if (busy) continue
    busy = !reserve(length)
    if (busy) chunks.length = 0
    else chunks.push(chunk)
  }
  if (busy) throw new Busy()
  return Buffer.concat(chunks).toString('utf8')
}

function fail(response: ServerResponse, error: unknown, deps: ServerDeps): void {
  const { metrics, log, limit } = deps
  const reason = reasonOf(error)
  metrics.failed(reason)
  const admitted = limit.admit(reason)
  if (admitted !== undefined) {
    log.warn('webhook.request_failed', { reason, heldBack: admitted.heldBack }, error)
  }
  if (reason === 'busy' && !response.headersSent) {
    sendBusy(response)
    return
  }
  if (!response.headersSent) {
    // What is left of the request is not read: the connection ends with the answer.
    response.setHeader('Connection', 'close')
    const status = { invalid: 400, 'too-large': 413, timeout: 408, internal: 500, busy: 503 }[
      reason
    ]
    const text = isLatchkeyError(error) && status < 500 ? error.message : 'internal error'
    send(response, status, `${text}\n`)
    response.once('finish', () => response.destroy())
    return
  }
  response.destroy()
}

function reasonOf(error: unknown): Parameters<WebhookMetrics['failed']>[0] {
  if (error instanceof Busy) return 'busy'
  if (isLatchkeyError(error, 'ERR_MESSAGE_INVALID')) return 'invalid'
  if (isLatchkeyError(error, 'ERR_LIMIT')) return 'too-large'
  return systemCode(error) === 'ECONNRESET' ? 'timeout' : 'internal'
}

/** Asks to come again: the API server does, within its own time for the call. */
function sendBusy(response: ServerResponse): void {
  response.setHeader('Retry-After', '1')
  send(response, 503, 'too many requests at a time\n')
}

function send(
  response: ServerResponse,
  status: number,
  text: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, {
    'Content-Type': contentType,
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
  })
  response.end(text)
}
