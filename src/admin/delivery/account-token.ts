import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import type { SecretBytes } from '../../base/secret.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import { requestToken } from '../../clients/kubernetes-token.ts'
import { isNamespaceName, isSecretName } from '../../secrets/reference.ts'

/** A service account. */
export interface Account {
  readonly namespace: string
  readonly name: string
}

/** The shortest life that the API server gives a token. */
const seconds = 600

/**
 * Reads `NAME` or `NAMESPACE/NAME`.
 *
 * @throws `ERR_USAGE`.
 */
export function parseAccount(text: string, namespace: string): Account {
  const parts = text.split('/')
  const [place = '', name = ''] = parts.length === 1 ? [namespace, text] : parts
  if (parts.length <= 2 && isNamespaceName(place) && isSecretName(name)) {
    return { namespace: place, name }
  }
  throw new LatchkeyError('ERR_USAGE', '--account is not NAME or NAMESPACE/NAME')
}

/**
 * A token of the account for the broker alone, of the shortest life there is.
 *
 * @throws `ERR_KUBERNETES_*`, with the remedy.
 */
export async function accountToken(
  client: KubernetesClient,
  options: {
    readonly account: Account
    readonly audience: string
    readonly signal: AbortSignal
  },
): Promise<SecretBytes> {
  const { account, audience, signal } = options
  try {
    return await requestToken(client, { account, audience, seconds }, signal)
  } catch (error) {
    throw explained(error, account)
  }
}

function explained(error: unknown, { namespace, name }: Account): unknown {
  if (isLatchkeyError(error, 'ERR_KUBERNETES_FORBIDDEN')) {
    const hint = `get the verb create on serviceaccounts/token in namespace ${namespace}, or give a token with --token`
    const message = `you may not make a token of service account ${namespace}/${name}`
    return new LatchkeyError(error.code, message, { hint, cause: error })
  }
  if (!isLatchkeyError(error, 'ERR_KUBERNETES_NOT_FOUND')) return error
  return new LatchkeyError(error.code, `there is no service account ${namespace}/${name}`, {
    hint: 'one of another namespace is named as --account NAMESPACE/NAME',
    cause: error,
  })
}
