import { LatchkeyError } from '../../../base/errors.ts'
import { statusError } from '../../../clients/kubernetes-errors.ts'
import { listOf, objectOf, textOf, textsOf } from '../../../clients/kubernetes-objects.ts'
import type { KubernetesClient } from '../../../clients/kubernetes.ts'
import { resourceName, splitResourceName } from '../../../storage/resource.ts'

/** A resource that an API server serves so that its objects can be rewritten. */
export interface ServedResource {
  /** `secrets`, `deployments.apps`: as an EncryptionConfiguration spells it. */
  readonly resource: string
  readonly group: string
  readonly plural: string
  readonly namespaced: boolean
  /** Path of all of its objects, `/apis/apps/v1/deployments`. */
  readonly collection: string
  /** Path of one of them. */
  path(namespace: string, name: string): string
}

/**
 * Reads the name of a resource; the group of a built-in one may be left out. Throws `ERR_USAGE` when
 * it is none, or a pattern.
 */
export function parseResource(text: string): string {
  if (/^[a-z][a-z0-9-]*(\.[a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$/.test(text)) {
    const { group, plural } = splitResourceName(text)
    return resourceName(group, plural)
  }
  throw new LatchkeyError('ERR_USAGE', 'the name of the resource is not well-formed', {
    hint: 'write it as the EncryptionConfiguration does: secrets, or widgets.example.com',
  })
}

/**
 * Looks for a resource by discovery: its group's preferred version first, then the others.
 *
 * @returns `undefined` when no API serves it, or none by which objects can be listed and patched.
 * @throws `ERR_KUBERNETES_*`.
 */
export async function findResource(
  client: KubernetesClient,
  resource: string,
  signal: AbortSignal,
): Promise<ServedResource | undefined> {
  const { group, plural } = splitResourceName(resource)
  for (const root of await versionRoots(client, group, signal)) {
    const listed = await get(client, root, signal)
    const found = listOf(objectOf(listed), 'resources')
      .map(objectOf)
      .find((it) => textOf(it, 'name') === plural)
    const verbs = found === undefined ? [] : textsOf(found, 'verbs')
    if (!verbs.includes('list') || !verbs.includes('patch')) continue
    const namespaced = found?.['namespaced'] === true
    return {
      resource,
      group,
      plural,
      namespaced,
      collection: `${root}/${plural}`,
      path: (namespace, name) => {
        const place = namespaced ? `/namespaces/${encodeURIComponent(namespace)}` : ''
        return `${root}${place}/${plural}/${encodeURIComponent(name)}`
      },
    }
  }
  return undefined
}

async function versionRoots(
  client: KubernetesClient,
  group: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (group === '') return ['/api/v1']
  const found = objectOf(await get(client, `/apis/${group}`, signal))
  const preferred = textOf(objectOf(found['preferredVersion']), 'groupVersion')
  const all = listOf(found, 'versions').map((it) => textOf(objectOf(it), 'groupVersion'))
  return [...new Set([preferred, ...all])].filter((it) => it !== '').map((it) => `/apis/${it}`)
}

/** What is at a discovery path; `undefined` where there is nothing. */
async function get(client: KubernetesClient, path: string, signal: AbortSignal): Promise<unknown> {
  const answer = await client.exchange('GET', path, { signal })
  if (answer.status === 404) return undefined
  if (answer.status !== 200) throw statusError(answer.status, { method: 'GET', path })
  return JSON.parse(answer.body.toString('utf8')) as unknown
}

/**
 * Makes sure that this identity may patch the resource everywhere, so that a 403 later on can only
 * come from admission.
 *
 * @throws `ERR_KUBERNETES_FORBIDDEN`.
 */
export async function requirePatchRight(
  client: KubernetesClient,
  { resource, group, plural }: ServedResource,
  signal: AbortSignal,
): Promise<void> {
  const answer = await client.request(
    'POST',
    '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    {
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes: { verb: 'patch', group, resource: plural } },
      },
      signal,
    },
  )
  if (objectOf(objectOf(answer)['status'])['allowed'] === true) return
  throw new LatchkeyError(
    'ERR_KUBERNETES_FORBIDDEN',
    `the user of this kubeconfig may not patch ${resource} in all namespaces`,
    {
      hint: `grant it: kubectl create clusterrole latchkey-migrate --verb=get,list,patch --resource=${resource}, and a ClusterRoleBinding`,
    },
  )
}
