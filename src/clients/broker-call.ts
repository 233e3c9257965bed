import { connect as connectHttp2, constants, sensitiveHeaders } from 'node:http2'
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { HostPort } from '../base/address.ts'
import { isLatchkeyError, LatchkeyError, systemCode } from '../base/errors.ts'
import type { SecretBytes } from '../base/secret.ts'

/** A call of a broker by somebody who is no pod. */
export interface BrokerCall {
  /** Opens the way to it, by an address or through something else. */
  readonly way: HostPort | (() => Promise<Duplex>)
  /** Name in the broker's certificate. */
  readonly serverName: string
  /** Certificate authorities, PEM; no others are trusted. */
  readonly ca: Buffer
  /** Sent when the certificate has been verified, and not before. */
  readonly token: SecretBytes
  /** Of the method, as in `/latchkey.v1.Broker/DeliveryStatus`. */
  readonly path: string
  readonly request: Uint8Array
  /** Milliseconds until the last message must be there, from when the way is open. */
  readonly timeoutMs: number
}

/** How a call ended when it was answered: gRPC's status code. */
export interface BrokerAnswer {
  readonly status: number
  readonly messages: readonly Uint8Array[]
}

/** Of all messages of an answer, in bytes: some hundred thousand pods. */
const maxAnswerBytes = 64 * 1_048_576
const headerBytes = 5

/**
 * Calls a method that answers with a stream of messages (gRPC over HTTP/2, PROTOCOL-HTTP2.md), on a
 * connection of its own.
 *
 * @remarks
 * On Node.js's own HTTP/2, because the way to a broker may lead through something that is no
 * address, which the gRPC library has no place for in its client.
 *
 * @throws `ERR_TOKEN_INVALID`; `ERR_BROKER_UNTRUSTED`, and then the token was not sent; `ERR_BROKER_UNREACHABLE`;
 * `ERR_MESSAGE_INVALID` for an answer that is not gRPC; what the way fails with.
 */
export async function callBroker(call: BrokerCall): Promise<BrokerAnswer> {
  headerToken(call.token)
  const way = typeof call.way === 'function' ? await call.way() : undefined
  const deadline = AbortSignal.timeout(call.timeoutMs)
  let socket: TLSSocket | undefined
  try {
    socket = openTls(call, way)
    const session = await openSession(socket, deadline)
    return await exchange(session, call, deadline)
  } catch (error) {
    // What broke the way says more than that it is broken.
    throw translated(isLatchkeyError(way?.errored) ? way.errored : error, deadline)
  } finally {
    socket?.destroy()
    way?.destroy()
  }
}

function openTls({ way, serverName, ca }: BrokerCall, inner: Duplex | undefined): TLSSocket {
  const address = typeof way === 'function' ? { host: serverName } : way
  return connectTls({
    ...address,
    ...(inner !== undefined && { socket: inner }),
    ...(isIP(serverName) === 0 && { servername: serverName }),
    ca,
    minVersion: 'TLSv1.3',
    // Said although it is the default, because an environment variable can change the default.
    rejectUnauthorized: true,
    ALPNProtocols: ['h2'],
  })
}

async function openSession(socket: TLSSocket, deadline: AbortSignal): Promise<ClientHttp2Session> {
  // Stays for the life of the socket: an error without a listener would end the process.
  socket.on('error', () => undefined)
  await settled((resolve, reject) => {
    socket.once('secureConnect', resolve)
    socket.once('error', (error) => {
      const code = systemCode(error) ?? 'unknown error'
      // Set by a verification that failed, and by nothing else.
      const refused = (socket.authorizationError as unknown) != null
      reject(refused ? untrusted(`its certificate does not verify (${code})`, error) : error)
    })
    socket.once('close', () => {
      reject(unreachable('the connection was closed', undefined))
    })
  }, deadline)
  if (!socket.authorized || socket.alpnProtocol !== 'h2') {
    throw untrusted('it does not speak HTTP/2', undefined)
  }
  const session = connectHttp2('https://broker.invalid', {
    createConnection: () => socket,
    settings: { enablePush: false },
  })
  session.on('error', () => undefined)
  return session
}

async function exchange(
  session: ClientHttp2Session,
  call: BrokerCall,
  deadline: AbortSignal,
): Promise<BrokerAnswer> {
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_AUTHORITY]: call.serverName,
    [constants.HTTP2_HEADER_PATH]: call.path,
    [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
    [constants.HTTP2_HEADER_TE]: 'trailers',
    'grpc-accept-encoding': 'identity',
    'grpc-timeout': `${call.timeoutMs}m`,
    'user-agent': 'latchkey',
    authorization: `Bearer ${headerToken(call.token)}`,
    [sensitiveHeaders]: ['authorization'],
  })
  const header = Buffer.alloc(headerBytes)
  header.writeUInt32BE(call.request.byteLength, 1)
  stream.end(Buffer.concat([header, call.request]))
  const { headers, trailers, body } = await readWhole(stream, deadline)
  if (headers[':status'] === undefined) throw unreachable('the connection was lost', undefined)
  if (headers[':status'] !== 200 || !isGrpc(headers)) throw malformed('it is not gRPC')
  const status = Number(trailers['grpc-status'] ?? Number.NaN)
  if (!Number.isInteger(status)) throw unreachable('the answer has no end', undefined)
  return { status, messages: status === 0 ? deframe(body) : [] }
}

/** The token as text, without which HTTP does not do. */
function headerToken(token: SecretBytes): string {
  const text = Buffer.from(token.expose()).toString('latin1').trim()
  if (/^[\x21-\x7e]+$/.test(text)) return text
  throw new LatchkeyError('ERR_TOKEN_INVALID', 'the token is empty, or more than one word')
}

interface Whole {
  readonly headers: IncomingHttpHeaders & { readonly ':status'?: number }
  readonly trailers: IncomingHttpHeaders
  readonly body: Buffer
}

async function readWhole(stream: ClientHttp2Stream, deadline: AbortSignal): Promise<Whole> {
  const chunks: Buffer[] = []
  let [headers, trailers]: [IncomingHttpHeaders, IncomingHttpHeaders] = [{}, {}]
  let length = 0
  stream.on('response', (received, flags) => {
    headers = received
    // A call that fails at once has its status here.
    if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) trailers = received
  })
  stream.on('trailers', (received: IncomingHttpHeaders) => {
    trailers = received
  })
  await settled((resolve, reject) => {
    stream.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      length += chunk.byteLength
      if (length > maxAnswerBytes) reject(malformed('it is too long'))
    })
    stream.once('error', reject)
    stream.once('close', resolve)
  }, deadline)
  return { headers, trailers, body: Buffer.concat(chunks, length) }
}

/** Cuts an answer into its messages, which are views of it. */
function deframe(body: Buffer): readonly Uint8Array[] {
  const messages: Uint8Array[] = []
  for (let at = 0; at < body.byteLength;) {
    const start = at + headerBytes
    if (start > body.byteLength) throw malformed('it ends within a message')
    if (body[at] !== 0) throw malformed('it is compressed, which was not agreed')
    const end = start + body.readUInt32BE(at + 1)
    if (end > body.byteLength) throw malformed('it ends within a message')
    messages.push(body.subarray(start, end))
    at = end
  }
  return messages
}

/** Waits for what `listen` hears of, no longer than `deadline`. */
async function settled(
  listen: (resolve: () => void, reject: (error: unknown) => void) => void,
  deadline: AbortSignal,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const late = (): void => {
      reject(deadline.reason as Error)
    }
    if (deadline.aborted) late()
    deadline.addEventListener('abort', late, { once: true })
    listen(resolve, reject)
  })
}

function isGrpc(headers: IncomingHttpHeaders): boolean {
  return headers['content-type']?.startsWith('application/grpc') === true
}

function translated(error: unknown, deadline: AbortSignal): LatchkeyError {
  if (isLatchkeyError(error)) return error
  if (deadline.aborted) return unreachable('the deadline passed', error)
  return unreachable(systemCode(error) ?? 'unknown error', error)
}

function unreachable(why: string, cause: unknown): LatchkeyError {
  return new LatchkeyError('ERR_BROKER_UNREACHABLE', `the broker did not answer (${why})`, {
    cause,
  })
}

function untrusted(why: string, cause: unknown): LatchkeyError {
  return new LatchkeyError('ERR_BROKER_UNTRUSTED', `what answers is no broker: ${why}`, {
    hint: 'check the clock and the name in --broker, or give its authorities with --ca; no token was sent',
    cause,
  })
}

function malformed(what: string): LatchkeyError {
  return new LatchkeyError('ERR_MESSAGE_INVALID', `the broker's answer: ${what}`)
}
