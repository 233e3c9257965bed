import { X509Certificate } from 'node:crypto'
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls'

const maxChain = 10

/** The certificates of the chain by which the peer was verified, its own first. */
export function peerChain(socket: TLSSocket): readonly X509Certificate[] {
  const chain: X509Certificate[] = []
  // The types promise both fields; at run time an unknown issuer has neither.
  let next: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(true)
  while (next?.raw !== undefined && chain.length < maxChain) {
    const certificate = new X509Certificate(next.raw)
    if (chain.at(-1)?.fingerprint256 === certificate.fingerprint256) break
    chain.push(certificate)
    // A self-signed certificate is its own issuer; one whose issuer is unknown has none.
    next = next.issuerCertificate
  }
  return chain
}

/** The certificates in a PEM text; `undefined` when it holds none, more than 32 or anything broken. */
export function readBundle(pem: string): readonly X509Certificate[] | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0 || blocks.length > 32) return undefined
  try {
    return blocks.map((block) => new X509Certificate(block))
  } catch {
    return undefined
  }
}

/**
 * Whether a certificate authority in `bundle` signed a certificate of `chain`, or is one of them, so
 * that whoever trusts the bundle trusts the peer.
 */
export function vouchesFor(
  bundle: readonly X509Certificate[],
  chain: readonly X509Certificate[],
  nowMs: number,
): boolean {
  return bundle.some(
    (authority) =>
      authority.ca &&
      authority.validFromDate.getTime() <= nowMs &&
      nowMs <= authority.validToDate.getTime() &&
      chain.some(
        (certificate) =>
          certificate.fingerprint256 === authority.fingerprint256 ||
          (certificate.checkIssued(authority) && certificate.verify(authority.publicKey)),
      ),
  )
}
