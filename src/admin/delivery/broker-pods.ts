import { LatchkeyError, isLatchkeyError } from '../../base/errors.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import { listOf, metaOf, objectOf, textOf } from '../../clients/kubernetes-objects.ts'
import type { PodPort } from '../../clients/kubernetes-port-forward.ts'

/** Labels by which the install's Deployment of the broker selects its pods. */
export const brokerLabels = 'app.kubernetes.io/name=latchkey,app.kubernetes.io/component=broker'
/** Name of the container's port, and its number where a manifest does not name it. */
const [portName, usualPort] = ['broker', 8443]

/**
 * The pods of the broker that run, and where each listens. One that is not ready, or that stops, is
 * among them: it may have streams.
 *
 * @throws `ERR_BROKER_UNREACHABLE` when there is none; `ERR_KUBERNETES_*`.
 */
export async function findBrokerPods(
  client: KubernetesClient,
  options: { readonly system: string; readonly signal: AbortSignal },
): Promise<readonly PodPort[]> {
  const { system, signal } = options
  const pods = await client
    .request('GET', `/api/v1/namespaces/${encodeURIComponent(system)}/pods`, {
      query: { labelSelector: brokerLabels },
      signal,
    })
    .catch((error: unknown) => {
      if (!isLatchkeyError(error, 'ERR_KUBERNETES_FORBIDDEN')) throw error
      throw new LatchkeyError(error.code, `you may not list the pods of namespace ${system}`, {
        hint: `get the verb list on pods in namespace ${system}, or name the brokers with --broker`,
        cause: error,
      })
    })
  const found = listOf(objectOf(pods), 'items')
    .filter((pod) => textOf(objectOf(objectOf(pod)['status']), 'phase') === 'Running')
    .map((pod) => ({ namespace: system, pod: metaOf(pod).name, port: portOf(pod) }))
  if (found.length > 0) return found
  throw new LatchkeyError('ERR_BROKER_UNREACHABLE', `no broker runs in namespace ${system}`, {
    hint: `name its namespace with --system; else see: kubectl get pods -n ${system} -l ${brokerLabels}`,
  })
}

function portOf(pod: unknown): number {
  for (const container of listOf(objectOf(objectOf(pod)['spec']), 'containers')) {
    for (const port of listOf(objectOf(container), 'ports')) {
      const { name, containerPort } = objectOf(port)
      if (name === portName && typeof containerPort === 'number') return containerPort
    }
  }
  return usualPort
}
