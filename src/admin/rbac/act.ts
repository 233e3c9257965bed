import { isLatchkeyError } from '../../base/errors.ts'
import { isNamespaceName, isSecretName, parseSecretReference } from '../../secrets/reference.ts'
import type { Grantee } from '../explain/grants.ts'

/** A service account. */
export interface ServiceAccount {
  readonly namespace: string
  readonly name: string
}

/** Something that an account did or tried, as an authorizer sees it. */
export interface Act {
  readonly account: ServiceAccount
  readonly verb: string
  readonly apiGroup: string
  /** With its subresource: `pods/eviction`; empty for a path that is no resource. */
  readonly resource: string
  /** Where; empty for the whole cluster and for what is in no namespace. */
  readonly namespace: string
  /** The object; empty for all of them, or where a rule could not name it. */
  readonly name: string
  /** A path that is no resource, such as `/metrics`; otherwise empty. */
  readonly path: string
}

/** Whether it was allowed; `unknown` where the log does not say. */
export type Outcome = 'allowed' | 'denied' | 'unknown'

/** The verb on core `secrets` that delivery asks for. */
export const mountVerb = 'mount'

/** That an account mounts a secret of its own namespace. */
export function mountAct({ namespace, serviceAccount }: Grantee, secret: string): Act {
  return {
    account: { namespace, name: serviceAccount },
    verb: mountVerb,
    apiGroup: '',
    resource: 'secrets',
    namespace,
    name: secret,
    path: '',
  }
}

/** Whether this is about a delivered secret, not about what a program did at the API server. */
export function isMount({ verb, apiGroup, resource }: Act): boolean {
  return verb === mountVerb && apiGroup === '' && resource === 'secrets'
}

const prefix = 'system:serviceaccount:'

/** The account that a user name stands for, if it is one of an account. */
export function accountOfUser(username: unknown): ServiceAccount | undefined {
  if (typeof username !== 'string' || !username.startsWith(prefix)) return undefined
  const [namespace = '', name = '', ...rest] = username.slice(prefix.length).split(':')
  return rest.length === 0 && isNamespaceName(namespace) && isSecretName(name)
    ? { namespace, name }
    : undefined
}

/** Whether `text` is a reference to a secret, as grants name it: `db`, or with its source, `vault:db`. */
export function isReference(text: string): boolean {
  try {
    parseSecretReference(text)
    return true
  } catch (error) {
    if (isLatchkeyError(error, 'ERR_SECRET_NAME')) return false
    throw error
  }
}
