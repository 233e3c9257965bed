import { posix } from 'node:path'
import { isOurVolume, sidecarName } from '../names.ts'
import { idOf, listOf, objectOf, objectsOf, textOf } from './json.ts'
import type { JsonObject } from './json.ts'
import { isMeshContainer } from './mesh.ts'

/** What matters of one container of a pod. */
export interface ContainerFacts {
  readonly name: string
  /** The user that the pod declares for it; `undefined` leaves it to the image. */
  readonly uid: number | undefined
  /** The primary group that the pod declares for it. */
  readonly gid: number | undefined
  /** Where it mounts volumes of its own, without a trailing slash. */
  readonly mountPaths: readonly string[]
}

/** What matters of a pod, or of the template of one, for placing secrets in it. */
export interface PodFacts {
  /** The containers that can be given files: all but ours and a service mesh's, in order of start. */
  readonly containers: readonly ContainerFacts[]
  /** Names of the containers that cannot: ours and a service mesh's. */
  readonly others: readonly string[]
  /** Whether a container of the author's has the name that the sidecar gets. */
  readonly takesOurName: boolean
  /** The group of the pod's volumes. */
  readonly fsGroup: number | undefined
  /** Groups that every container of the pod has besides its own. */
  readonly supplementalGroups: readonly number[]
  /** Whether containers see each other's processes, and through /proc each other's files. */
  readonly sharesProcesses: boolean
  /** Whether they see all processes of the node. */
  readonly hostPid: boolean
  readonly hostNetwork: boolean
  /** The service account, `default` where none is named. */
  readonly serviceAccount: string
  readonly windows: boolean
  /** Secrets that containers get in environment variables, each once for a container. */
  readonly environmentSecrets: readonly {
    readonly container: string
    readonly secret: string
  }[]
  /** Containers that turn a file on a volume of ours into an environment variable (KEP-3721). */
  readonly environmentFromFiles: readonly string[]
  /** A pod that the kubelet runs from a file of its node, and of which the API has a mirror only. */
  readonly isStatic: boolean
}

/** Reads what matters from a Pod or a pod template. What has another type than it should is as if absent. */
export function readPodFacts(pod: JsonObject): PodFacts {
  const spec = objectOf(pod['spec'])
  const security = objectOf(spec['securityContext'])
  const declared = [...objectsOf(spec['initContainers']), ...objectsOf(spec['containers'])]
  const isApart = (container: JsonObject): boolean => {
    const name = textOf(container['name']) ?? ''
    return name === sidecarName || isMeshContainer(name)
  }
  const serviceAccount = textOf(spec['serviceAccountName']) ?? textOf(spec['serviceAccount'])
  return {
    containers: declared
      .filter((container) => !isApart(container))
      .map((it) => readContainer(it, security)),
    others: declared.filter(isApart).map(({ name }) => textOf(name) ?? ''),
    takesOurName: objectsOf(spec['containers']).some(({ name }) => name === sidecarName),
    fsGroup: idOf(security['fsGroup']),
    supplementalGroups: listOf(security['supplementalGroups'])
      .map(idOf)
      .filter((id) => id !== undefined),
    sharesProcesses: spec['shareProcessNamespace'] === true || spec['hostPID'] === true,
    hostPid: spec['hostPID'] === true,
    hostNetwork: spec['hostNetwork'] === true,
    serviceAccount:
      serviceAccount === undefined || serviceAccount === '' ? 'default' : serviceAccount,
    windows: isForWindows(spec),
    environmentSecrets: declared.filter((it) => !isApart(it)).flatMap(readEnvironment),
    environmentFromFiles: declared
      .filter((it) => !isApart(it) && readsOurFiles(it))
      .map(({ name }) => textOf(name) ?? ''),
    isStatic: 'kubernetes.io/config.mirror' in objectOf(objectOf(pod['metadata'])['annotations']),
  }
}

/** Said by the pod itself, or by what kinds of nodes it may go to: the older way. */
function isForWindows(spec: JsonObject): boolean {
  const selector = objectOf(spec['nodeSelector'])
  return [
    objectOf(spec['os'])['name'],
    selector['kubernetes.io/os'],
    selector['beta.kubernetes.io/os'],
  ].includes('windows')
}

function readContainer(container: JsonObject, podSecurity: JsonObject): ContainerFacts {
  const security = objectOf(container['securityContext'])
  const mountPaths = objectsOf(container['volumeMounts'])
    .filter(({ name }) => !isOurVolume(textOf(name) ?? ''))
    .map(({ mountPath }) => textOf(mountPath) ?? '')
    .filter((path) => path !== '')
    .map((path) => posix.resolve('/', path))
  return {
    name: textOf(container['name']) ?? '',
    uid: idOf(security['runAsUser']) ?? idOf(podSecurity['runAsUser']),
    gid: idOf(security['runAsGroup']) ?? idOf(podSecurity['runAsGroup']),
    mountPaths,
  }
}

function readEnvironment(
  container: JsonObject,
): { readonly container: string; readonly secret: string }[] {
  const single = objectsOf(container['env']).map(
    ({ valueFrom }) => objectOf(objectOf(valueFrom)['secretKeyRef'])['name'],
  )
  const whole = objectsOf(container['envFrom']).map(({ secretRef }) => objectOf(secretRef)['name'])
  const secrets = new Set([...single, ...whole].map(textOf).filter((name) => name !== undefined))
  return [...secrets].map((secret) => ({ container: textOf(container['name']) ?? '', secret }))
}

function readsOurFiles(container: JsonObject): boolean {
  return objectsOf(container['env'])
    .map(({ valueFrom }) => objectOf(objectOf(valueFrom)['fileKeyRef'])['volumeName'])
    .some((volume) => isOurVolume(textOf(volume) ?? ''))
}
