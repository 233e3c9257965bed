import type { RandomBytes } from '../../base/random.ts'
import type { Authority } from './authorities.ts'
import { isLatchkeyError } from '../../base/errors.ts'
import { isSignedBy, makeLeaf, readCertificate } from './x509.ts'
import type { CertificateFacts, KeyedCertificate } from './x509.ts'

/** Certificates are valid from a little before they are made, for clocks that are behind. */
const clockSkewMs = 300_000

/** What a certificate is to be. */
export interface LeafWish {
  readonly names: readonly string[]
  readonly lifetimeMs: number
  /** What part of its life is used before it is replaced, above 0 and below 1. */
  readonly usedPart: number
}

/** Whether `leaf`, PEM, is what is wished for, signed by `signer`, and fresh enough. */
export function isGoodLeaf(
  leaf: string,
  wish: LeafWish & { readonly signer: Authority; readonly nowMs: number },
): boolean {
  try {
    return isGood(leaf, readCertificate(leaf), wish)
  } catch (error) {
    if (isLatchkeyError(error, 'ERR_TLS_INVALID')) return false
    throw error
  }
}

function isGood(
  leaf: string,
  facts: CertificateFacts,
  wish: LeafWish & { readonly signer: Authority; readonly nowMs: number },
): boolean {
  const { signer, nowMs, names } = wish
  const remainingMs = facts.notAfterMs - nowMs
  // One that the authority's own end cut short is not made any longer by making it again.
  const longestMs = Math.min(wish.lifetimeMs, signer.facts.notAfterMs - nowMs)
  return (
    facts.notBeforeMs <= nowMs &&
    remainingMs > 0 &&
    remainingMs > longestMs * (1 - wish.usedPart) &&
    facts.names.length === names.length &&
    names.every((name) => facts.names.includes(name)) &&
    isSignedBy(leaf, signer.certificate)
  )
}

/** Makes a certificate that is wished for. */
export async function issueLeaf(
  wish: LeafWish & { readonly signer: Authority; readonly nowMs: number },
  random: RandomBytes,
): Promise<KeyedCertificate> {
  const { signer, nowMs } = wish
  return await makeLeaf(wish.names, {
    authority: signer,
    random,
    validity: {
      notBeforeMs: Math.max(signer.facts.notBeforeMs, nowMs - clockSkewMs),
      notAfterMs: Math.min(signer.facts.notAfterMs, nowMs + wish.lifetimeMs),
    },
  })
}
