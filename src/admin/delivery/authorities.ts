import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import { listOf, objectOf, textOf } from '../../clients/kubernetes-objects.ts'

const name = 'injector.latchkey.dev'
const path = `/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${name}`

/**
 * The certificate authorities that the webhook has made, PEM, from where it keeps them for the API
 * server: they vouch for the broker too, and there is no private key beside them to be read.
 *
 * @throws `ERR_KUBERNETES_*`, with the remedy; `ERR_TLS_INVALID` when there are none.
 */
export async function publishedAuthorities(
  client: KubernetesClient,
  signal: AbortSignal,
): Promise<Buffer> {
  const configuration = await client.request('GET', path, { signal }).catch((error: unknown) => {
    if (!isLatchkeyError(error)) throw error
    throw new LatchkeyError(
      error.code,
      "the broker's authorities cannot be read from the webhook's configuration",
      {
        hint: `get the verb get on mutatingwebhookconfigurations/${name}, or give them with --ca`,
        cause: error,
      },
    )
  })
  const bundles = listOf(objectOf(configuration), 'webhooks').map((webhook) =>
    textOf(objectOf(objectOf(webhook)['clientConfig']), 'caBundle'),
  )
  const pem = [...new Set(bundles)].map((bundle) => Buffer.from(bundle, 'base64').toString())
  if (pem.some((text) => text.includes('-----BEGIN CERTIFICATE-----'))) {
    return Buffer.from(pem.join('\n'))
  }
  throw new LatchkeyError('ERR_TLS_INVALID', "the webhook's configuration has no authorities", {
    hint: "wait until the webhook runs, or give the broker's with --ca",
  })
}
