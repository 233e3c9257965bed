import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Clock } from '../base/clock.ts'
import { LatchkeyError, systemCode } from '../base/errors.ts'

/** A server's certificate chain and private key, which belong together. */
export interface TlsIdentity {
  /** PEM, the leaf first. */
  readonly cert: Buffer
  /** PEM. */
  readonly key: Buffer
  /** When the leaf ends, milliseconds since 1970. */
  readonly notAfterMs: number
}

/** Where an identity is. */
export interface TlsFiles {
  readonly cert: string
  readonly key: string
}

/**
 * Reads certificate and key.
 *
 * @throws `ERR_TLS_INVALID` when one cannot be read or parsed, or they do not belong together, as
 * for a moment while they are being replaced one after the other.
 */
export async function readTlsIdentity(files: TlsFiles): Promise<TlsIdentity> {
  const cert = await read(files.cert, 'certificate')
  const key = await read(files.key, 'private key')
  const leaf = parse(files.cert, 'certificate', () => new X509Certificate(cert))
  const privateKey = parse(files.key, 'private key', () => createPrivateKey(key))
  if (leaf.checkPrivateKey(privateKey)) {
    return { cert, key, notAfterMs: leaf.validToDate.getTime() }
  }
  throw new LatchkeyError(
    'ERR_TLS_INVALID',
    `the certificate ${files.cert} does not belong to the private key ${files.key}`,
    { hint: 'write both files of a new certificate, in either order' },
  )
}

/**
 * Reads the identity again every `everyMs` and tells of each new one, until the signal is aborted.
 * Reading, rather than watching, sees every way in which files come to be replaced.
 */
export async function watchTlsIdentity(
  files: TlsFiles,
  options: {
    readonly current: TlsIdentity
    readonly everyMs: number
    readonly clock: Clock
    readonly signal: AbortSignal
    readonly onChange: (identity: TlsIdentity) => void
    /** What is there now cannot be used; what is in use stays. */
    readonly onProblem: (error: unknown) => void
  },
): Promise<void> {
  let { current } = options
  for (;;) {
    await options.clock.sleep(options.everyMs, options.signal).catch(() => undefined)
    if (options.signal.aborted) return
    try {
      const next = await readTlsIdentity(files)
      if (next.cert.equals(current.cert) && next.key.equals(current.key)) continue
      current = next
      options.onChange(next)
    } catch (error) {
      options.onProblem(error)
    }
  }
}

async function read(path: string, what: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new LatchkeyError(
      'ERR_TLS_INVALID',
      `the ${what} ${path} cannot be read: ${systemCode(error) ?? 'unknown error'}`,
      { cause: error },
    )
  }
}

function parse<T>(path: string, what: string, from: () => T): T {
  try {
    return from()
  } catch {
    // The parser's own error is no cause: for a key it may quote what it read.
    throw new LatchkeyError('ERR_TLS_INVALID', `${path} is not a ${what} in PEM`)
  }
}
