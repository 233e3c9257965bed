import { toBase64Url } from '../../../../base/bytes.ts'
import { isLatchkeyError, LatchkeyError } from '../../../../base/errors.ts'
import type { RandomBytes } from '../../../../base/random.ts'
import type { EtcdClient } from '../../../../clients/etcd/client.ts'
import type { KubernetesClient } from '../../../../clients/kubernetes.ts'
import { readStoredValue } from '../../../../storage/stored-value.ts'
import type { ApiServer, Canaries, CanaryFinding } from '../ports.ts'
import type { Connections } from './connections.ts'

/** Marks canaries; the value is the run that made them. */
export const canaryLabel = 'latchkey.dev/canary'

/** What every API server has and can write: both are also what is encrypted first. */
const kinds = [
  { resource: 'secrets', body: { apiVersion: 'v1', kind: 'Secret', type: canaryLabel } },
  { resource: 'configmaps', body: { apiVersion: 'v1', kind: 'ConfigMap' } },
] as const

/**
 * Canaries in a namespace: one Secret and one ConfigMap for each API server, changed at each look,
 * and read as they lie in etcd.
 */
export function canaries(
  connections: Connections,
  options: {
    readonly etcd: readonly EtcdClient[]
    /** What keys of the API server begin with in etcd, as `/registry`. */
    readonly prefix: string
    readonly namespace: string
    readonly random: RandomBytes
  },
): Canaries {
  const { namespace, prefix, etcd } = options
  const run = name(options.random)
  const names = new Map<string, string>()
  const used = new Set<string>()
  const pathOf = (resource: string): string => `/api/v1/namespaces/${namespace}/${resource}`
  let round = 0

  const writeOne = async (
    client: KubernetesClient,
    kind: (typeof kinds)[number],
    canary: string,
    signal: AbortSignal,
  ): Promise<void> => {
    const metadata = {
      name: canary,
      labels: { [canaryLabel]: run },
      annotations: { [canaryLabel]: String(round) },
    }
    const path = pathOf(kind.resource)
    try {
      await client.request('PATCH', `${path}/${canary}`, {
        body: { metadata },
        contentType: 'application/merge-patch+json',
        signal,
      })
    } catch (error) {
      if (!isLatchkeyError(error, 'ERR_KUBERNETES_NOT_FOUND')) throw error
      await client.request('POST', path, { body: { ...kind.body, metadata }, signal })
    }
  }

  return {
    write: async (server, signal) => {
      const canary = names.get(server.id) ?? `latchkey-canary-${name(options.random)}`
      names.set(server.id, canary)
      used.add(server.url)
      round += 1
      const client = connections.to(server.url)
      // Being asked whether it is ready makes an API server ask its plugin, if it has not of late.
      await client.exchange('GET', '/readyz', { signal })
      const findings: CanaryFinding[] = []
      for (const kind of kinds) {
        await writeOne(client, kind, canary, signal)
        const key = `${prefix}/${kind.resource}/${namespace}/${canary}`
        findings.push({ resource: kind.resource, ...(await read(etcd, key, { server, signal })) })
      }
      return findings
    },
    remove: async (signal) => {
      for (const url of used) {
        try {
          for (const { resource } of kinds) {
            const query = { labelSelector: canaryLabel }
            await connections.to(url).request('DELETE', pathOf(resource), { query, signal })
          }
          return
        } catch (error) {
          if (!isLatchkeyError(error, 'ERR_KUBERNETES_UNAVAILABLE')) throw error
        }
      }
      throw new LatchkeyError('ERR_KUBERNETES_UNAVAILABLE', 'no API server removed the canaries')
    },
  }
}

async function read(
  etcd: readonly EtcdClient[],
  key: string,
  { server, signal }: { readonly server: ApiServer; readonly signal: AbortSignal },
): Promise<Omit<CanaryFinding, 'resource'>> {
  for (const client of etcd) {
    const [entry] = (await client.range(key, { signal })).entries
    if (entry === undefined) continue
    const value = readStoredValue(entry.value)
    const keyId = value.kind === 'kms-v2' || value.kind === 'kms-v1' ? value.keyId : undefined
    return { provider: value.provider, keyId }
  }
  throw new LatchkeyError(
    'ERR_USAGE',
    `what was written through ${server.name} is not in the etcd that --etcd names`,
    { hint: 'name the etcd of the API servers, and their --etcd-prefix with --prefix' },
  )
}

/** A part of an object's name. */
function name(random: RandomBytes): string {
  return toBase64Url(random(9))
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, 'x')
}
