import { fromBase64Url, toBase64Url } from '../../base/bytes.ts'
import { rfc3339 } from '../../base/clock.ts'
import { LatchkeyError } from '../../base/errors.ts'
import { SecretBytes } from '../../base/secret.ts'
import { listOf, objectOf, objectsOf, textOf, type Json } from '../../injection/pod/json.ts'
import {
  isKeyOf,
  keyed,
  keyPem,
  readCertificate,
  type CertificateFacts,
  type KeyedCertificate,
} from './x509.ts'

/** A certificate authority and the time from which it signs. */
export interface Authority extends KeyedCertificate {
  readonly facts: CertificateFacts
  /** Milliseconds since 1970. Until then it is only handed out, so that everybody knows it. */
  readonly signsFromMs: number
  /** What it can vouch for. */
  readonly names: readonly string[]
}

/** How long authorities live and how long before it signs one is made known. */
export interface AuthorityPolicy {
  readonly lifetimeMs: number
  readonly noticeMs: number
  /** The longest that a certificate of theirs lives. */
  readonly leafLifetimeMs: number
  /** What it must be able to vouch for. */
  readonly names: readonly string[]
  /** Under which clients call that were told of the authorities there are, and of no others yet. */
  readonly pinned: readonly string[]
}

/** What is to be done about a set of authorities. */
export interface AuthorityStep {
  /** Those to keep; what ended is left out. */
  readonly keep: readonly Authority[]
  /** A new one is needed, which signs from then on. */
  readonly add: { readonly signsFromMs: number } | undefined
}

/**
 * What the passing of time asks for: an authority when there is none, a successor in time for its
 * notice and for the certificates that the old one has still signed, no longer those that ended.
 *
 * A clock that shows a time before the newest authority was made is not believed: nothing is added
 * and nothing removed.
 */
export function nextStep(
  authorities: readonly Authority[],
  nowMs: number,
  policy: AuthorityPolicy,
): AuthorityStep {
  const newest = authorities.at(-1)
  if (newest !== undefined && nowMs < newest.facts.notBeforeMs) {
    return { keep: authorities, add: undefined }
  }
  const keep = authorities.filter(({ facts }) => facts.notAfterMs > nowMs)
  // Not the newest of all: a replica with other names, as during a rollout, may have added that one,
  // and would in turn be outbid by one of ours.
  const last = keep.findLast((authority) => covers(authority, policy.names))
  if (last === undefined) {
    // Where nobody else can vouch for the names that are called, there is nothing to wait for.
    const canWait = keep.some((authority) => covers(authority, policy.pinned))
    return { keep, add: { signsFromMs: canWait ? nowMs + policy.noticeMs : nowMs } }
  }
  const renewAtMs = last.facts.notAfterMs - policy.leafLifetimeMs - 2 * policy.noticeMs
  return { keep, add: nowMs < renewAtMs ? undefined : { signsFromMs: nowMs + policy.noticeMs } }
}

/** Whether an authority can vouch for all of `names`. */
function covers(authority: Authority, names: readonly string[]): boolean {
  return names.every((name) => authority.names.includes(name))
}

/**
 * The authority that signs for `names` now: the newest whose time has come and which `isKnown`
 * accepts, else the oldest, which is known the longest.
 */
export function signerOf(
  authorities: readonly Authority[],
  nowMs: number,
  options: {
    readonly names: readonly string[]
    readonly isKnown: (authority: Authority) => boolean
  },
): Authority | undefined {
  const able = authorities.filter((authority) => covers(authority, options.names))
  const due = able.filter(({ signsFromMs }) => signsFromMs <= nowMs)
  return due.findLast(options.isKnown) ?? due[0] ?? able[0]
}

/**
 * Those of `names` that a certificate can carry now without cutting off clients that call it under a
 * `pinned` one: the others wait until the authority that can vouch for them has been made known.
 */
export function namesNow(
  authorities: readonly Authority[],
  nowMs: number,
  options: { readonly names: readonly string[]; readonly pinned: readonly string[] },
): readonly string[] {
  const { names, pinned } = options
  const due = authorities.filter(({ signsFromMs }) => signsFromMs <= nowMs)
  if (due.some((authority) => covers(authority, names))) return names
  const signer = due.findLast((authority) => covers(authority, pinned))
  return signer === undefined ? names : names.filter((name) => signer.names.includes(name))
}

/** The certificates of all authorities, PEM, oldest first: what clients are to trust. */
export function bundleOf(authorities: readonly Authority[]): string {
  return authorities.map(({ certificate }) => certificate).join('')
}

/** Takes over a certificate with its key. */
export function authorityOf(
  made: KeyedCertificate,
  of: { readonly signsFromMs: number; readonly names: readonly string[] },
): Authority {
  return { ...made, ...of, facts: readCertificate(made.certificate) }
}

const format = 1

/** The text under which authorities are kept in a Secret. */
export function printAuthorities(authorities: readonly Authority[]): string {
  return JSON.stringify({
    format,
    authorities: authorities.map(({ certificate, key, signsFromMs, names }) => ({
      names,
      certificate,
      key: toBase64Url(key.expose()),
      signsFrom: rfc3339(signsFromMs),
    })),
  })
}

/**
 * Inverse of {@link printAuthorities}.
 *
 * @throws `ERR_TLS_INVALID`
 */
export function parseAuthorities(text: string): readonly Authority[] {
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch {
    throw invalid('is not JSON')
  }
  const { format: found, authorities } = objectOf(value)
  if (found !== format) throw invalid('has a format of another release')
  return objectsOf(authorities).map((fields) => {
    const certificate = textOf(fields['certificate']) ?? ''
    const key = fromBase64Url(textOf(fields['key']) ?? '')
    const signsFromMs = Date.parse(textOf(fields['signsFrom']) ?? '')
    if (key === undefined || key.byteLength === 0 || Number.isNaN(signsFromMs)) {
      throw invalid('has an entry without key or time')
    }
    const names = listOf(fields['names'])
      .map(textOf)
      .filter((name) => name !== undefined)
    const authority = authorityOf(keyed(certificate, SecretBytes.take(key)), { signsFromMs, names })
    // What it signed would be believed by nobody, and take the place of what is.
    if (!isItsKey(authority)) throw invalid('has an entry with the key of another certificate')
    return authority
  })
}

function isItsKey({ certificate, key }: Authority): boolean {
  const pem = keyPem(key)
  try {
    return isKeyOf(pem, certificate)
  } finally {
    pem.fill(0)
  }
}

function invalid(what: string): LatchkeyError {
  return new LatchkeyError('ERR_TLS_INVALID', `the Secret of the authorities ${what}`, {
    hint: 'restore it from a backup; to begin with a new authority, scale the webhook to 0, empty the Secret, and scale it up again',
  })
}
