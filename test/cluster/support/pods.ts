import { collection, type KubernetesObject } from '../../e2e/support/kubernetes.ts'
import { until } from '../../e2e/support/until.ts'
import type { Cluster } from './use-cluster.ts'

/** What the kubelet says of a container. */
export interface ContainerStatus {
  readonly name: string
  readonly ready: boolean
  readonly started?: boolean
  readonly restartCount: number
  /** As `containerd://…`. */
  readonly containerID?: string
  readonly state: {
    readonly running?: { readonly startedAt: string }
    readonly terminated?: { readonly exitCode: number; readonly reason: string }
  }
}

/** What the kubelet says of a pod. */
export interface PodStatus {
  readonly phase: string
  readonly ready: boolean
  readonly containers: readonly ContainerStatus[]
  readonly initContainers: readonly ContainerStatus[]
}

/** The status of a pod. */
export function statusOf(pod: KubernetesObject): PodStatus {
  const status = pod['status'] as {
    phase: string
    conditions?: readonly { type: string; status: string }[]
    containerStatuses?: readonly ContainerStatus[]
    initContainerStatuses?: readonly ContainerStatus[]
  }
  return {
    phase: status.phase,
    ready: (status.conditions ?? []).some((it) => it.type === 'Ready' && it.status === 'True'),
    containers: status.containerStatuses ?? [],
    initContainers: status.initContainerStatuses ?? [],
  }
}

/** The status of one pod now. */
export async function podStatus(
  cluster: Cluster,
  namespace: string,
  name: string,
): Promise<PodStatus> {
  return statusOf(await cluster.admin.get(collection('v1', 'pods', namespace), name))
}

/** Waits for a pod to be ready. */
export async function podReady(
  cluster: Cluster,
  namespace: string,
  name: string,
  timeoutMs = 90_000,
): Promise<PodStatus> {
  return await until(
    `pod ${name} to be ready`,
    async () => {
      const status = await podStatus(cluster, namespace, name)
      if (status.ready) return status
      throw new Error(JSON.stringify(status))
    },
    { timeoutMs, everyMs: 200 },
  )
}

/** Name of the one pod of a Deployment, when it is ready and no other is left. */
export async function podOf(cluster: Cluster, namespace: string, app: string): Promise<string> {
  return await until(
    `the pod of ${app}`,
    async () => {
      const pods = collection('v1', 'pods', namespace)
      const { items } = await cluster.admin.list(pods, { labelSelector: `app=${app}` })
      const [only] = items
      if (items.length !== 1 || only === undefined || !statusOf(only).ready) {
        throw new Error(JSON.stringify(items.map(statusOf)))
      }
      return only.metadata.name
    },
    { timeoutMs: 90_000, everyMs: 200 },
  )
}
