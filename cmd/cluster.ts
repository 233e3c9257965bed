import { access } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { systemClock } from '../src/base/clock.ts'
import { readContextNamespace, readKubeconfig } from '../src/clients/kubeconfig.ts'
import { inClusterAccess, readCredential } from '../src/clients/kubernetes-access.ts'
import { serviceAccountDirectory } from '../src/clients/kubernetes-access.ts'
import { createKubernetesClient, type KubernetesClient } from '../src/clients/kubernetes.ts'
import { execPlugins } from './exec-plugins.ts'

/** A cluster to ask, and where its user works when a command names no namespace. */
export interface Cluster {
  readonly client: KubernetesClient
  readonly namespace: string
}

/**
 * Finds the cluster as kubectl does: the file named, else the first of `KUBECONFIG`, else
 * `~/.kube/config`, else the service account of the pod that this is.
 *
 * @returns `undefined` where nothing names one.
 * @throws `ERR_KUBERNETES_CONFIG` when what was found cannot be used.
 */
export async function findCluster(kubeconfig: string | undefined): Promise<Cluster | undefined> {
  const [first = ''] = (process.env['KUBECONFIG'] ?? '').split(delimiter)
  const named = kubeconfig ?? (first === '' ? undefined : first)
  const usual = join(homedir(), '.kube', 'config')
  const path = named ?? ((await exists(usual)) ? usual : undefined)
  if (path !== undefined) {
    const access = await readKubeconfig(path, execPlugins)
    const client = createKubernetesClient(access, { clock: systemClock })
    return { client, namespace: (await readContextNamespace(path)) ?? 'default' }
  }
  const host = process.env['KUBERNETES_SERVICE_HOST']
  if (host === undefined) return undefined
  const directory = serviceAccountDirectory
  const pod = inClusterAccess({ host, port: process.env['KUBERNETES_SERVICE_PORT'], directory })
  const client = createKubernetesClient(pod, { clock: systemClock })
  return { client, namespace: (await readCredential(`${directory}/namespace`)).trim() }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}
