import type { Clock } from '../../../../base/clock.ts'
import { describeError, isLatchkeyError } from '../../../../base/errors.ts'
import type { KubernetesClient } from '../../../../clients/kubernetes.ts'
import type { ServerDirectory } from '../ports.ts'
import { isOutage } from '../prove.ts'
import {
  identitySelector,
  matchServers,
  readEndpointSlices,
  readLeases,
  type Answered,
  type AnnouncedServer,
} from '../servers.ts'
import type { Connections } from './connections.ts'
import { askIdentity } from './identity.ts'

/** A name that kubeadm puts into every API server's certificate, and by which they call each other. */
const clusterName = 'kubernetes.default.svc'

/** Connections that are asked who answers, at an address that a person or a kubeconfig names. */
const asks = 8

/**
 * Finds API servers by their Leases, and each at the address that its Lease, the Service
 * `kubernetes`, the kubeconfig or a person names. An address counts only when the server that
 * answers there says that it is the one of the Lease.
 */
export function serverDirectory(
  connections: Connections,
  options: {
    /** The server of the kubeconfig, which may be a load balancer. */
    readonly entrance: string
    /** What `--server` names. */
    readonly named: readonly string[]
    readonly clock: Clock
  },
): ServerDirectory {
  const entrances = [...options.named, options.entrance]
  let addresses: readonly string[] = []
  const anyOf = async <T>(ask: (client: KubernetesClient) => Promise<T>): Promise<T> => {
    let failure: unknown
    for (const url of [...entrances, ...addresses]) {
      try {
        return await ask(connections.to(url))
      } catch (error) {
        if (!isOutage(error)) throw error
        failure ??= error
      }
    }
    throw failure
  }
  return {
    discover: async (signal) => {
      const leases = await anyOf((client) => listLeases(client, signal))
      const slices = await anyOf((client) => listSlices(client, signal))
      addresses = [
        ...new Set([
          ...leases.flatMap(({ address }) => (address === undefined ? [] : [`https://${address}`])),
          ...slices.map((address) => `https://${address}`),
        ]),
      ]
      const urls = [...new Set([...entrances, ...addresses])]
      const answers = await Promise.all(
        urls.map((url) =>
          ask(connections, url, {
            named: options.named.includes(url),
            direct: addresses.includes(url),
            signal,
          }),
        ),
      )
      return matchServers(leases, answers, options.clock.now())
    },
  }
}

async function ask(
  connections: Connections,
  url: string,
  options: { readonly named: boolean; readonly direct: boolean; readonly signal: AbortSignal },
): Promise<Answered> {
  const { named, direct, signal } = options
  const once = async (): Promise<ReadonlySet<string>> => {
    const all = await Promise.all(
      Array.from({ length: direct ? 1 : asks }, () => askIdentity(connections.to(url), signal)),
    )
    return new Set(all.filter((identity) => identity !== undefined))
  }
  try {
    return { url, named, direct, identities: await once() }
  } catch (error) {
    if (signal.aborted || !isLatchkeyError(error)) throw error
    if (named || !isOutage(error)) return silent({ url, named, direct }, error)
    // An address that the cluster names may be missing in the certificate; that name is not.
    connections.expect(url, clusterName)
    try {
      return { url, named, direct, identities: await once() }
    } catch (again) {
      return silent({ url, named, direct }, again)
    }
  }
}

function silent(at: Pick<Answered, 'url' | 'named' | 'direct'>, error: unknown): Answered {
  return { ...at, identities: undefined, problem: describeError(error) }
}

async function listLeases(
  client: KubernetesClient,
  signal: AbortSignal,
): Promise<readonly AnnouncedServer[]> {
  return readLeases(
    await client.request('GET', '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases', {
      query: { labelSelector: identitySelector },
      signal,
    }),
  )
}

/** A cluster whose API servers publish no addresses has none, and a user may be forbidden to see them. */
async function listSlices(
  client: KubernetesClient,
  signal: AbortSignal,
): Promise<readonly string[]> {
  try {
    return readEndpointSlices(
      await client.request('GET', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
        query: { labelSelector: 'kubernetes.io/service-name=kubernetes' },
        signal,
      }),
    )
  } catch (error) {
    if (isLatchkeyError(error, 'ERR_KUBERNETES_FORBIDDEN')) return []
    throw error
  }
}
