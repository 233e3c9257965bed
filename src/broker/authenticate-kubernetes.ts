import { LatchkeyError } from '../base/errors.ts'
import type { KubernetesClient } from '../clients/kubernetes.ts'
import { reviewToken, type UserInfo } from '../clients/kubernetes-reviews.ts'
import { objectOf } from '../clients/kubernetes-objects.ts'
import { isNamespaceName, isSecretName } from '../secrets/reference.ts'
import type { Authenticator, Identity } from './identity.ts'

const extraPrefix = 'authentication.kubernetes.io/'

/**
 * Authenticates by TokenReview for one audience.
 *
 * @remarks
 * KEP-1205 and KEP-4193: a token bound to a pod carries the pod's name and uid, and, from 1.30, the
 * node's name and the token's id, which the review gives back in `extra`. The API server itself
 * refuses the token once the pod is gone.
 */
export function kubernetesAuthenticator(
  client: KubernetesClient,
  options: { readonly audience: string },
): Authenticator {
  const review = async (token: Uint8Array, signal: AbortSignal): Promise<UserInfo> => {
    const text = Buffer.from(token.buffer, token.byteOffset, token.byteLength).toString('latin1')
    const reviewed = await asking(() =>
      reviewToken(client, { token: text, audience: options.audience }, signal),
    )
    if (reviewed === undefined) throw refused('the API server does not accept the token')
    // An authenticator that knows nothing of audiences answers with the API server's own.
    if (!reviewed.audiences.includes(options.audience))
      throw refused('the token is for another audience')
    return reviewed.user
  }
  return {
    reviewPod: async (token, signal) => podIdentity(await review(token, signal), token),
    reviewCaller: async (token, signal) => ({ user: await review(token, signal) }),
  }
}

/** Any failure to get an answer is an outage, and nothing else. */
export async function asking<T>(question: () => Promise<T>): Promise<T> {
  try {
    return await question()
  } catch (cause) {
    throw new LatchkeyError('ERR_REVIEW_UNAVAILABLE', 'the API server could not be asked', {
      cause,
    })
  }
}

function podIdentity(user: UserInfo, token: Uint8Array): Identity {
  const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user.username) ?? []
  if (namespace === undefined || name === undefined) throw refused('it is no service account’s')
  if (!isNamespaceName(namespace) || !isSecretName(name))
    throw refused('the account has no valid name')
  const extra = (field: string): string => {
    const values = user.extra[`${extraPrefix}${field}`] ?? []
    return values.length === 1 ? (values[0] ?? '') : ''
  }
  const pod = { name: extra('pod-name'), uid: extra('pod-uid') }
  if (!isSecretName(pod.name) || pod.uid === '') throw refused('the token is not bound to a pod')
  return {
    account: { namespace, name, user },
    pod,
    nodeName: extra('node-name'),
    tokenId: extra('credential-id').replace(/^JTI=/, ''),
    expiresAtMs: expiryOf(token),
  }
}

/**
 * `exp` of a JWT (RFC 7519 §4.1.4) that was authenticated before: a TokenReview does not tell it.
 *
 * @throws `ERR_TOKEN_REFUSED` when it has none: what never ends is no projected token.
 */
function expiryOf(token: Uint8Array): number {
  const [, payload = ''] = Buffer.from(token).toString('latin1').split('.')
  let claims: unknown
  try {
    claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'))
  } catch {
    claims = undefined
  }
  const { exp } = objectOf(claims)
  if (typeof exp === 'number' && Number.isFinite(exp)) return exp * 1000
  throw refused('the token does not say when it ends')
}

function refused(why: string): LatchkeyError {
  return new LatchkeyError('ERR_TOKEN_REFUSED', why)
}
