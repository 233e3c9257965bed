import type { KubernetesClient } from '../../../../clients/kubernetes.ts'

const pattern = /apiserver_id_hash="(sha256:[0-9a-f]{64})"/
const timeoutMs = 5_000

/**
 * Which API server answers on a connection of its own: the hash of its identity, which is the name
 * of its Lease, as a label in its metrics (Kubernetes 1.29 and newer, once it uses KMS v2 or
 * reloads its configuration). `undefined` when its metrics do not tell.
 *
 * @throws `ERR_KUBERNETES_*`.
 */
export async function askIdentity(
  client: KubernetesClient,
  signal: AbortSignal,
): Promise<string | undefined> {
  const lines = await client.lines('/metrics', {
    accept: 'text/plain',
    idleMs: timeoutMs,
    timeoutMs,
    signal,
  })
  // Leaving the loop ends the connection: nothing after the first such line is needed.
  for await (const line of lines) {
    const found = pattern.exec(line.toString('latin1'))?.[1]
    if (found !== undefined) return found
  }
  return undefined
}
