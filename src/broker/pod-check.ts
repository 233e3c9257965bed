import { LatchkeyError } from '../base/errors.ts'
import type { Identity, PodFacts } from './identity.ts'

/** What a pod must be besides itself. */
export interface PodRules {
  /** Whether it must carry our injected container, started with the plan that the client names. */
  readonly requireInjected: boolean
}

/**
 * Compares what a token says with the live Pod.
 *
 * @throws `ERR_POD_GONE`, `ERR_POD_FINISHED`, `ERR_POD_NOT_INJECTED`.
 */
export function checkPod(
  identity: Identity,
  facts: PodFacts | 'gone' | undefined,
  claim: { readonly rules: PodRules; readonly planDigest: string },
): void {
  if (facts === undefined || facts === 'gone' || facts.uid !== identity.pod.uid) {
    throw new LatchkeyError('ERR_POD_GONE', 'there is no such pod')
  }
  if (facts.accountName !== identity.account.name) {
    throw new LatchkeyError('ERR_POD_GONE', 'the pod runs as another service account')
  }
  if (identity.nodeName !== '' && facts.nodeName !== identity.nodeName) {
    throw new LatchkeyError('ERR_POD_GONE', 'the pod runs on another node')
  }
  if (facts.phase === 'Succeeded' || facts.phase === 'Failed') {
    throw new LatchkeyError('ERR_POD_FINISHED', 'the pod has finished')
  }
  if (!claim.rules.requireInjected) return
  if (!facts.injected) {
    throw new LatchkeyError(
      'ERR_POD_NOT_INJECTED',
      'the pod has no container of ours with its plan',
    )
  }
  if (claim.planDigest !== facts.planDigest) {
    throw new LatchkeyError('ERR_POD_NOT_INJECTED', 'the client was started with another plan')
  }
}

/** How a peer's address stands to the pod's: `unknown` while the pod has none yet. */
export function checkAddress(facts: PodFacts, peer: string): 'same' | 'different' | 'unknown' {
  if (facts.addresses.length === 0) return 'unknown'
  return facts.addresses.map(canonicalAddress).includes(canonicalAddress(peer))
    ? 'same'
    : 'different'
}

/** One spelling for each address: lower case, and IPv4 without its IPv6 mapping. */
function canonicalAddress(address: string): string {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  // The URL parser knows the one canonical spelling of an IPv6 address (RFC 5952).
  return address.includes(':')
    ? (URL.parse(`http://[${address}]`)?.hostname ?? address.toLowerCase())
    : address
}
