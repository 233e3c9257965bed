import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createClusterIdentity } from '../cluster-identity.ts'
import type { EncryptedCluster } from '../encrypted-cluster.ts'
import type { Ground } from '../ground.ts'
import { collection, type KubernetesObject } from '../kubernetes.ts'
import { until } from '../until.ts'
import { addresses, nodeName } from './addresses.ts'
import { startContainerd } from './containerd.ts'
import { startApi, startControllers } from './control-plane.ts'
import { startKubelet } from './kubelet.ts'
import { startServices } from './services.ts'

/** What a one-node cluster is made from. */
export interface OneNodeOptions {
  /** The directory that namespaces.sh was given. */
  readonly directory: string
  /** Name of the control group, as the kubelet wants it. */
  readonly controlGroup: string
  /** OCI archives to bring to the node. */
  readonly images: readonly string[]
}

/**
 * Starts a Kubernetes with one node in the namespaces that this process is in, and resolves when a
 * pod can run: the node is ready, Services are reached, and names are found.
 */
export async function startOneNode(
  ground: Ground,
  options: OneNodeOptions,
): Promise<EncryptedCluster> {
  const { directory, controlGroup, images } = options
  const identity = await createClusterIdentity(ground)
  const [cluster, containerd] = await Promise.all([
    startApi(ground, identity),
    (async () => {
      const runtime = await startContainerd(ground, join(directory, 'containerd'))
      for (const image of images) await runtime.importImage(image)
      return runtime
    })(),
  ])
  const { url: server, admin } = cluster.server
  await startControllers(ground, identity, server)
  await startKubelet(ground, { identity, server, controlGroup, runtime: containerd.socket })
  await startServices(ground, { identity, server, admin })
  await writeFile(join(directory, 'resolv.conf'), `nameserver ${addresses.dns}\n`)

  const wait = { timeoutMs: 120_000, everyMs: 200 }
  const nodes = collection('v1', 'nodes')
  await until('the node to be ready', async () => isReady(await admin.get(nodes, nodeName)), wait)
  await until('CoreDNS to be ready', async () => await answers('http://127.0.0.1:8181/ready'), wait)
  const accounts = collection('v1', 'serviceaccounts', 'default')
  await until(
    'accounts to be made',
    async () => (await admin.get(accounts, 'default')).metadata.uid,
    wait,
  )
  return cluster
}

function isReady({ status }: KubernetesObject): boolean {
  const { conditions = [] } = status as {
    conditions?: readonly { readonly type: string; readonly status: string }[]
  }
  return conditions.some((it) => it.type === 'Ready' && it.status === 'True')
}

async function answers(url: string): Promise<boolean> {
  return (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok
}
