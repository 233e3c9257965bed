import { LatchkeyError } from '../base/errors.ts'

/**
 * A secret as a pod names it. Never a namespace: that is always the asking account's own, so no
 * spelling of a reference reaches another one.
 */
export interface SecretReference {
  /** The prefix before the colon, or `undefined` for the broker's default source. */
  readonly source: string | undefined
  /** An RFC 1123 subdomain of at most 253 characters. */
  readonly name: string
}

/** A secret with its place: what a source is asked for. */
export interface SecretTarget {
  /** An RFC 1123 label of at most 63 characters. */
  readonly namespace: string
  /** As {@link SecretReference.name}. */
  readonly name: string
}

const label = '[a-z0-9](?:[-a-z0-9]*[a-z0-9])?'
const subdomainPattern = new RegExp(`^${label}(?:\\.${label})*$`)
const labelPattern = new RegExp(`^${label}$`)
const sourcePattern = /^[a-z][a-z0-9-]{0,31}$/
const keyPattern = /^[-._a-zA-Z0-9]{1,253}$/

/** Whether `text` can name a namespace: an RFC 1123 label of at most 63 characters. */
export function isNamespaceName(text: string): boolean {
  return text.length <= 63 && labelPattern.test(text)
}

/** Whether `text` can name a secret: an RFC 1123 subdomain of at most 253 characters. */
export function isSecretName(text: string): boolean {
  return text.length <= 253 && subdomainPattern.test(text)
}

/** Whether `text` can name a key within a secret, by the rule of the Kubernetes API. */
export function isSecretKey(text: string): boolean {
  return keyPattern.test(text) && text !== '.' && !text.startsWith('..')
}

/**
 * Reads `db` or `vault:db`. One reference has one spelling.
 *
 * @throws `ERR_SECRET_NAME`.
 */
export function parseSecretReference(text: string): SecretReference {
  const colon = text.indexOf(':')
  const source = colon < 0 ? undefined : text.slice(0, colon)
  const name = text.slice(colon + 1)
  if (source !== undefined && !sourcePattern.test(source)) {
    throw new LatchkeyError('ERR_SECRET_NAME', 'the source before the colon has no valid name', {
      hint: 'use 1 to 32 characters of a-z, 0-9 and -, first a letter, as in vault:db',
    })
  }
  if (isSecretName(name)) return { source, name }
  throw new LatchkeyError('ERR_SECRET_NAME', 'the secret has no valid name', {
    hint: 'use an RFC 1123 subdomain: at most 253 characters of a-z, 0-9, - and .',
  })
}

/** Inverse of {@link parseSecretReference}: also the name that a grant of `mount` carries. */
export function formatSecretReference(reference: SecretReference): string {
  return reference.source === undefined ? reference.name : `${reference.source}:${reference.name}`
}

/**
 * Reads `NAMESPACE/NAME`, as the command line has it.
 *
 * @throws `ERR_SECRET_NAME`.
 */
export function parseSecretTarget(text: string): SecretTarget {
  const [namespace = '', name = '', ...rest] = text.split('/')
  if (rest.length === 0 && isNamespaceName(namespace) && isSecretName(name)) {
    return { namespace, name }
  }
  throw new LatchkeyError('ERR_SECRET_NAME', 'the secret is not named as NAMESPACE/NAME', {
    hint: 'a namespace has at most 63 characters of a-z, 0-9 and -; a name may have dots too',
  })
}
