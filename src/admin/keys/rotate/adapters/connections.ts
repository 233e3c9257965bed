import type { Clock } from '../../../../base/clock.ts'
import type { ClusterAccess } from '../../../../clients/kubernetes-access.ts'
import { createKubernetesClient, type KubernetesClient } from '../../../../clients/kubernetes.ts'

/** Clients of single API servers, as the user of one kubeconfig. */
export interface Connections extends Disposable {
  /** The client of the server at `url`; one a URL. */
  readonly to: (url: string) => KubernetesClient
  /** Takes another name to be expected in the certificate of the server at `url`. */
  readonly expect: (url: string, serverName: string) => void
}

/** Most requests to one server at a time; a migration adapts below it. */
export const maxRequests = 64

/** Clients that present what `access` does. */
export function createConnections(access: ClusterAccess, clock: Clock): Connections {
  const clients = new Map<string, KubernetesClient>()
  const names = new Map<string, string>()
  return {
    to: (url) => {
      const known = clients.get(url)
      if (known !== undefined) return known
      const at = {
        ...access,
        server: new URL(url),
        serverName: names.get(url) ?? access.serverName,
      }
      const client = createKubernetesClient(at, { clock, maxRequests })
      clients.set(url, client)
      return client
    },
    expect: (url, serverName) => {
      if (names.get(url) === serverName) return
      names.set(url, serverName)
      clients.get(url)?.close()
      clients.delete(url)
    },
    [Symbol.dispose]: () => {
      for (const client of clients.values()) client.close()
    },
  }
}
