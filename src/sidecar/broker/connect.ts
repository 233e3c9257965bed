import { connect, type ClientHttp2Session } from 'node:http2'
import { isIP } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { printHostPort, type HostPort } from '../../base/address.ts'
import { LatchkeyError, systemCode } from '../../base/errors.ts'

/** How to reach a broker. */
export interface BrokerAddress {
  readonly address: HostPort
  /** The name that its certificate must carry; by default the host that is called. */
  readonly serverName: string | undefined
}

/** Receive window of the stream, in bytes: a set of usual size arrives without waiting for leave. */
const windowBytes = 256 * 1024

/**
 * Opens a connection whose peer has shown a certificate that `trusted` vouches for. Nothing was
 * sent over it but the handshake, so a token cannot have reached anyone else.
 *
 * @throws `ERR_BROKER_UNTRUSTED` when the certificate does not verify, `ERR_BROKER_UNREACHABLE` for
 * everything else that keeps the connection from coming about, the signal's reason when aborted.
 */
export async function connectToBroker(
  broker: BrokerAddress,
  options: {
    /** Certificate authorities, PEM. No other is trusted, the system's least of all. */
    readonly trusted: string
    readonly deadlineMs: number
    readonly signal: AbortSignal
  },
): Promise<ClientHttp2Session> {
  options.signal.throwIfAborted()
  const { host } = broker.address
  const name = broker.serverName ?? host
  const session = connect(`https://${printHostPort(broker.address)}`, {
    ca: options.trusted,
    minVersion: 'TLSv1.3',
    // Said although it is the default, because an environment variable can change the default.
    rejectUnauthorized: true,
    ...(isIP(name) === 0 && { servername: name }),
    settings: { enablePush: false, initialWindowSize: windowBytes },
  })
  try {
    await connected(session, options)
  } catch (error) {
    session.destroy()
    throw error
  }
  const socket = session.socket as TLSSocket
  if (socket.authorized && socket.alpnProtocol === 'h2') return session
  session.destroy()
  throw untrusted('the peer did not prove that it is a broker', undefined)
}

async function connected(
  session: ClientHttp2Session,
  options: { readonly deadlineMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => {
    reject(new LatchkeyError('ERR_BROKER_UNREACHABLE', 'the broker did not answer in time'))
  }, options.deadlineMs)
  const abort = (): void => {
    reject(options.signal.reason as Error)
  }
  options.signal.addEventListener('abort', abort, { once: true })
  // Stays for the life of the session: an error without a listener would end the process.
  session.on('error', (error) => {
    reject(connectionError(error))
  })
  session.once('close', () => {
    reject(new LatchkeyError('ERR_BROKER_UNREACHABLE', 'the connection was closed'))
  })
  session.once('connect', () => {
    resolve(undefined)
  })
  try {
    await promise
  } finally {
    clearTimeout(timer)
    options.signal.removeEventListener('abort', abort)
  }
}

/** A failed connection in our words. */
export function connectionError(error: unknown): LatchkeyError {
  const code = systemCode(error) ?? 'unknown error'
  if (isCertificateCode(code)) {
    return untrusted(`the broker's certificate does not verify (${code})`, error)
  }
  return new LatchkeyError('ERR_BROKER_UNREACHABLE', `the broker cannot be reached (${code})`, {
    cause: error,
  })
}

function untrusted(message: string, cause: unknown): LatchkeyError {
  return new LatchkeyError('ERR_BROKER_UNTRUSTED', message, {
    hint: 'check --ca, the name in --broker and the clock; no token was sent',
    cause,
  })
}

/** The codes by which OpenSSL (X509_V_ERR_…) and Node.js tell that a certificate is not accepted. */
function isCertificateCode(code: string): boolean {
  return (
    code.startsWith('CERT_') ||
    code.startsWith('CRL_') ||
    code.includes('CERT_ALTNAME') ||
    code.includes('SELF_SIGNED_CERT') ||
    code.includes('CERT_SIGNATURE') ||
    code.startsWith('UNABLE_TO_') ||
    ['INVALID_CA', 'INVALID_PURPOSE', 'PATH_LENGTH_EXCEEDED', 'HOSTNAME_MISMATCH'].includes(code) ||
    code.startsWith('ERROR_IN_CERT_') ||
    ['PERMITTED_VIOLATION', 'EXCLUDED_VIOLATION', 'SUBTREE_MINMAX'].includes(code)
  )
}
