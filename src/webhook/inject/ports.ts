import { createHash } from 'node:crypto'
import { objectOf, objectsOf, textOf, type JsonObject } from '../../injection/pod/json.ts'
import type { SidecarSettings } from '../settings.ts'

/** Where an injected sidecar listens. */
export interface SidecarPorts {
  /** Of the startup probe. */
  readonly health: number
  /** `undefined` where it serves no metrics. */
  readonly metrics: number | undefined
}

/**
 * The ports of a pod's sidecar. It starts before all others, so a port that it took from one of them
 * would be missing there.
 *
 * Metrics are at the configured port or nowhere, as whoever scrapes them knows only that one: not in
 * pods that declare it themselves, or share it with other pods of their node.
 */
export function portsOf(
  pod: JsonObject,
  namespace: string,
  settings: Pick<SidecarSettings, 'healthPort' | 'hostPorts' | 'metricsPort'>,
): SidecarPorts {
  const spec = objectOf(pod['spec'])
  const declared = new Set(
    [...objectsOf(spec['initContainers']), ...objectsOf(spec['containers'])]
      .flatMap(({ ports }) => objectsOf(ports))
      .flatMap(({ containerPort, hostPort }) => [containerPort, hostPort]),
  )
  const { metricsPort } = settings
  const isFree = spec['hostNetwork'] !== true && !declared.has(metricsPort)
  const metrics = isFree ? metricsPort : undefined
  const taken = new Set([...declared, metrics])
  return { health: healthPortOf(pod, namespace, { settings, taken }), metrics }
}

/**
 * The configured port, or the next that no container of the pod declares.
 *
 * Pods on the host's network share the node's ports, so there it is drawn by the name of what owns
 * the pod: the same for every pod of a DaemonSet, another for the next DaemonSet.
 */
function healthPortOf(
  pod: JsonObject,
  namespace: string,
  {
    settings,
    taken,
  }: {
    readonly settings: Pick<SidecarSettings, 'healthPort' | 'hostPorts'>
    readonly taken: ReadonlySet<unknown>
  },
): number {
  if (objectOf(pod['spec'])['hostNetwork'] !== true) {
    let port = settings.healthPort
    while (taken.has(port)) port = port === 65_535 ? 1024 : port + 1
    return port
  }
  const { first, count } = settings.hostPorts
  const offset = createHash('sha256')
    .update(`${namespace}/${ownerOf(pod)}`)
    .digest()
  let turn = offset.readUInt32BE(0) % count
  for (let tried = 0; tried < count && taken.has(first + turn); tried += 1) {
    turn = (turn + 1) % count
  }
  return first + turn
}

/** What a pod comes from: the same for all pods that a controller makes. */
function ownerOf(pod: JsonObject): string {
  const { ownerReferences, generateName, name } = objectOf(pod['metadata'])
  const controller = objectsOf(ownerReferences).find((owner) => owner['controller'] === true)
  if (controller !== undefined) {
    return `${textOf(controller['kind']) ?? ''}/${textOf(controller['name']) ?? ''}`
  }
  return textOf(generateName) ?? textOf(name) ?? ''
}
