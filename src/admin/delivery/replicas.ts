import { lookup } from 'node:dns/promises'
import { printHostPort, type HostPort } from '../../base/address.ts'
import { isLatchkeyError, LatchkeyError, systemCode } from '../../base/errors.ts'
import type { SecretBytes } from '../../base/secret.ts'
import { askBrokerStatus } from '../../clients/broker-status.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import { openPodPort, type PodPort } from '../../clients/kubernetes-port-forward.ts'
import { findBrokerPods } from './broker-pods.ts'
import { brokerName, expectedName } from './server-name.ts'
import type { Replica } from './status.ts'

/** As whom replicas are asked, and whom to believe that they are replicas. */
export interface ReplicaTrust {
  /** Certificate authorities of the brokers, PEM. */
  readonly ca: Buffer
  /** Of somebody who may list the pods of the namespace asked about. */
  readonly token: SecretBytes
}

/** To open the way to a replica, and again for its answer. */
const timeoutMs = 10_000

/**
 * The replicas at `named`, by their own addresses: behind the name of a headless Service stand all of
 * them, and each is asked.
 *
 * @throws `ERR_BROKER_UNREACHABLE` for a name without address.
 */
export async function replicasAt(
  named: readonly HostPort[],
  trust: ReplicaTrust,
): Promise<readonly Replica[]> {
  const found = await Promise.all(
    named.map(async ({ host, port }) =>
      (await addressesOf(host)).map((address) => ({ host, way: { host: address, port } })),
    ),
  )
  return found.flat().map(({ host, way }) => ({
    name: printHostPort(way),
    ask: (question) =>
      askBrokerStatus({ ...question, ...trust, way, serverName: expectedName(host), timeoutMs }),
  }))
}

async function addressesOf(host: string): Promise<readonly string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address)
  } catch (error) {
    const reason = systemCode(error) ?? 'unknown error'
    throw new LatchkeyError('ERR_BROKER_UNREACHABLE', `${host} has no address (${reason})`)
  }
}

/**
 * The replicas in namespace `system`, each through the API server and the pod's node. Both only carry
 * what broker and caller say to each other inside TLS.
 *
 * @throws what {@link findBrokerPods} throws.
 */
export async function replicasIn(
  system: string,
  options: ReplicaTrust & { readonly client: KubernetesClient; readonly signal: AbortSignal },
): Promise<readonly Replica[]> {
  const { client, signal, ca, token } = options
  const pods = await findBrokerPods(client, { system, signal })
  return pods.map((pod) => ({
    name: pod.pod,
    ask: (question) =>
      askBrokerStatus({
        ...question,
        ...{ ca, token, timeoutMs, serverName: brokerName(system) },
        way: () =>
          openPodPort(client, pod, { timeoutMs, signal }).catch((error: unknown) => {
            throw explained(error, pod)
          }),
      }),
  }))
}

function explained(error: unknown, { namespace, pod }: PodPort): unknown {
  if (!isLatchkeyError(error, 'ERR_KUBERNETES_FORBIDDEN')) return error
  return new LatchkeyError(error.code, `you may not forward a port of pod ${pod}`, {
    hint: `get the verbs get and create on pods/portforward in namespace ${namespace}, or ask in a pod of the cluster with --broker`,
    cause: error,
  })
}
