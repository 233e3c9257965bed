import { LatchkeyError } from '../base/errors.ts'
import type { KubernetesClient } from '../clients/kubernetes.ts'
import { objectOf, objectsOf, textOf, type Json } from '../injection/pod/json.ts'

/**
 * The image of the webhook's own container, as its pod's spec has it: what installs it names the
 * image once, and whatever changes that name (kustomize, Helm, a registry mirror) changes ours too.
 *
 * @throws `ERR_KUBERNETES_*`; `ERR_CONFIG_INVALID` when the pod has no such container.
 */
export async function readOwnImage(
  client: KubernetesClient,
  place: { readonly namespace: string; readonly pod: string },
  signal: AbortSignal,
): Promise<string> {
  const path = `/api/v1/namespaces/${place.namespace}/pods/${place.pod}`
  const pod = (await client.request('GET', path, { signal })) as Json
  const containers = objectsOf(objectOf(objectOf(pod)['spec'])['containers'])
  const own = containers.find(({ name }) => name === 'webhook')
  const image = textOf(own?.['image']) ?? ''
  if (image !== '') return image
  throw new LatchkeyError('ERR_CONFIG_INVALID', 'the own pod has no container named webhook', {
    hint: 'name the image of injected containers with --image',
  })
}

/** The oldest Kubernetes whose init containers can be sidecars (KEP-753). */
const oldestMinor = 29

/**
 * Makes sure that the API server knows native sidecars. An older one drops the field that makes
 * ours one, and every pod that it is injected into would wait for it to end.
 *
 * @throws `ERR_KUBERNETES_*`; `ERR_CONFIG_INVALID` for an older server.
 */
export async function checkServerVersion(
  client: KubernetesClient,
  signal: AbortSignal,
): Promise<void> {
  const version = objectOf((await client.request('GET', '/version', { signal })) as Json)
  const minor = Number.parseInt(textOf(version['minor']) ?? '', 10)
  if (version['major'] !== '1' || !(minor < oldestMinor)) return
  throw new LatchkeyError('ERR_CONFIG_INVALID', `Kubernetes 1.${minor} has no native sidecars`, {
    hint: `upgrade to 1.${oldestMinor} or newer`,
  })
}
