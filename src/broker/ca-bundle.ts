import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Clock } from '../base/clock.ts'
import { LatchkeyError, systemCode } from '../base/errors.ts'

/** Limits of broker.proto's CaBundle. */
const maxBundleBytes = 131_072
const maxCertificates = 32
const everyMs = 5_000
const certificatePattern = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/**
 * Reads the certificate authorities that are handed out to pods.
 *
 * @throws `ERR_TLS_INVALID` unless it is 1 to 32 certificates in PEM, 128 KiB at most.
 */
export async function readCaBundle(path: string): Promise<Buffer> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    const reason = systemCode(error) ?? 'unknown error'
    throw invalid(`the bundle ${path} cannot be read: ${reason}`)
  }
  if (bytes.byteLength > maxBundleBytes) throw invalid(`the bundle ${path} is over 128 KiB`)
  const found = bytes.toString('latin1').match(certificatePattern) ?? []
  if (found.length < 1 || found.length > maxCertificates) {
    throw invalid(`the bundle ${path} has ${found.length} certificates, expected 1 to 32`)
  }
  for (const [index, pem] of found.entries()) {
    if (!isAuthority(pem)) throw invalid(`certificate ${index + 1} of ${path} is no authority's`)
  }
  // What else is in the file, comments above all, is nobody's business.
  return Buffer.from(`${found.join('\n')}\n`)
}

/** Reads the bundle again every five seconds, and tells of each new one, until the signal. */
export async function watchCaBundle(
  path: string,
  options: {
    readonly current: Buffer
    readonly clock: Clock
    readonly signal: AbortSignal
    readonly onChange: (bundle: Buffer) => void
    readonly onProblem: (error: unknown) => void
  },
): Promise<void> {
  let { current } = options
  for (;;) {
    await options.clock.sleep(everyMs, options.signal).catch(() => undefined)
    if (options.signal.aborted) return
    try {
      const next = await readCaBundle(path)
      if (next.equals(current)) continue
      current = next
      options.onChange(next)
    } catch (error) {
      options.onProblem(error)
    }
  }
}

function isAuthority(pem: string): boolean {
  try {
    return new X509Certificate(pem).ca
  } catch {
    return false
  }
}

function invalid(message: string): LatchkeyError {
  return new LatchkeyError('ERR_TLS_INVALID', message, {
    hint: 'give the authority that signed the certificate, and those that will sign later ones',
  })
}
