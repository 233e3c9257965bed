import { SecretBytes } from '../base/secret.ts'
import { LatchkeyError } from '../base/errors.ts'
import type { KubernetesClient } from './kubernetes.ts'
import { objectOf, textOf } from './kubernetes-objects.ts'

/**
 * A token of a service account for one audience (authentication.k8s.io/v1 TokenRequest), which the
 * caller disposes of.
 *
 * @throws `ERR_KUBERNETES_FORBIDDEN` without `create` on `serviceaccounts/token`,
 * `ERR_KUBERNETES_NOT_FOUND` when there is no such account; other `ERR_KUBERNETES_*`.
 */
export async function requestToken(
  client: KubernetesClient,
  wanted: {
    readonly account: { readonly namespace: string; readonly name: string }
    readonly audience: string
    /** At least 600, which is the API server's own least. */
    readonly seconds: number
  },
  signal: AbortSignal,
): Promise<SecretBytes> {
  const { namespace, name } = wanted.account
  const place = `namespaces/${encodeURIComponent(namespace)}/serviceaccounts/${encodeURIComponent(name)}`
  const answer = await client.request('POST', `/api/v1/${place}/token`, {
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: { name, namespace },
      spec: { audiences: [wanted.audience], expirationSeconds: wanted.seconds },
    },
    signal,
  })
  const token = textOf(objectOf(objectOf(answer)['status']), 'token')
  if (token !== '') return SecretBytes.take(new Uint8Array(Buffer.from(token, 'latin1')))
  throw new LatchkeyError(
    'ERR_KUBERNETES_REFUSED',
    'the API server answered a TokenRequest without token',
  )
}
