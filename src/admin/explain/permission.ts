import { describeError, isLatchkeyError } from '../../base/errors.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import { reviewLocalAccess, serviceAccountUser } from '../../clients/kubernetes-reviews.ts'
import type { Grantee } from './grants.ts'

/** Whether a service account may mount a secret, or why nobody can tell. */
export type Permission =
  | { readonly kind: 'allowed' }
  | { readonly kind: 'denied' }
  | { readonly kind: 'unknown'; readonly reason: string }

/**
 * Asks the API server, as the broker does, whether an account may `mount` a secret. A local review,
 * because administrators of a namespace may create those.
 */
export async function askPermission(
  client: KubernetesClient,
  question: Grantee & { readonly secret: string },
  signal: AbortSignal,
): Promise<Permission> {
  const { namespace, serviceAccount, secret } = question
  try {
    const allowed = await reviewLocalAccess(
      client,
      {
        user: serviceAccountUser(namespace, serviceAccount),
        verb: 'mount',
        resource: 'secrets',
        namespace,
        name: secret,
      },
      signal,
    )
    return { kind: allowed ? 'allowed' : 'denied' }
  } catch (error) {
    if (isLatchkeyError(error, 'ERR_KUBERNETES_FORBIDDEN')) {
      const reason = `you may not create localsubjectaccessreviews in namespace ${namespace}`
      return { kind: 'unknown', reason }
    }
    return { kind: 'unknown', reason: describeError(error) }
  }
}
