import { isDeepStrictEqual } from 'node:util'
import { sidecarName } from '../../injection/names.ts'
import { objectOf, objectsOf, textOf, type JsonObject } from '../../injection/pod/json.ts'
import { isMeshProxy, type Mesh } from '../../injection/pod/mesh.ts'
import type { SidecarSettings } from '../settings.ts'
import type { SidecarPorts } from './ports.ts'

/** What a pod's author may want to know about what the operator's settings do to the pod. */
export function adviceOnInjection(
  pod: JsonObject,
  facts: {
    readonly settings: SidecarSettings
    readonly meshes: readonly Mesh[]
    readonly ports: SidecarPorts
    readonly hostNetwork: boolean
  },
): readonly string[] {
  const { settings, meshes, ports, hostNetwork } = facts
  const advice: string[] = []
  if (settings.mesh === 'exclude' && meshes.length > 0) {
    advice.push(
      `traffic of the whole pod to port ${settings.broker.port} goes past ${meshes.join(' and ')}, so that the sidecar starts before the mesh's proxy`,
    )
  }
  if (settings.mesh === 'through' && hasClassicProxy(pod)) {
    advice.push(
      "the mesh's proxy is no native sidecar, so Latchkey starts before it; ask for native sidecars of the mesh, or for the mesh setting exclude",
    )
  }
  if (hostNetwork) {
    advice.push(`the sidecar listens on port ${ports.health} of the node, for the kubelet's probe`)
  }
  if (settings.metricsPort !== ports.metrics) {
    advice.push(
      `the sidecar serves no metrics, because port ${settings.metricsPort} may be taken by others of this pod or node`,
    )
  }
  if (isGuaranteed(pod) && !hasEqualAmounts(settings)) {
    advice.push(
      "the pod's QoS class becomes Burstable: the sidecar's requests and limits, which the operator sets, differ",
    )
  }
  return advice
}

function hasClassicProxy(pod: JsonObject): boolean {
  return objectsOf(objectOf(pod['spec'])['containers']).some(({ name }) =>
    isMeshProxy(textOf(name) ?? ''),
  )
}

const measured = ['cpu', 'memory']

/** Whether Kubernetes gives the pod the QoS class Guaranteed as it was declared. */
function isGuaranteed(pod: JsonObject): boolean {
  const spec = objectOf(pod['spec'])
  const containers = [
    ...objectsOf(spec['initContainers']),
    ...objectsOf(spec['containers']),
  ].filter(({ name }) => name !== sidecarName)
  return (
    spec['resources'] === undefined &&
    containers.length > 0 &&
    containers.every(({ resources }) => {
      const limits = objectOf(objectOf(resources)['limits'])
      const requests = objectOf(objectOf(resources)['requests'])
      return measured.every(
        (name) =>
          limits[name] !== undefined &&
          (requests[name] === undefined || isDeepStrictEqual(requests[name], limits[name])),
      )
    })
  )
}

function hasEqualAmounts({ requests, limits }: SidecarSettings): boolean {
  return measured.every((name) => limits[name] !== undefined && limits[name] === requests[name])
}
