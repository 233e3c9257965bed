import { objectOf, objectsOf, textOf, type JsonObject } from '../../injection/pod/json.ts'
import { meshOfContainer, meshes, type Mesh } from '../../injection/pod/mesh.ts'
import type { NamespaceFacts } from '../settings.ts'

/**
 * The annotations by which a mesh leaves ports of a pod alone, comma-separated lists:
 * istio.io/latest/docs/reference/config/annotations and linkerd.io/2/reference/proxy-configuration.
 */
const annotations: Readonly<Record<Mesh, { readonly inbound: string; readonly outbound: string }>> =
  {
    istio: {
      inbound: 'traffic.sidecar.istio.io/excludeInboundPorts',
      outbound: 'traffic.sidecar.istio.io/excludeOutboundPorts',
    },
    linkerd: {
      inbound: 'config.linkerd.io/skip-inbound-ports',
      outbound: 'config.linkerd.io/skip-outbound-ports',
    },
  }

/**
 * The meshes whose proxy the pod has, or is about to be given by the mesh's own webhook. Where
 * nothing is known of the namespace, all that the pod does not decline.
 */
export function meshesOf(pod: JsonObject, namespace: NamespaceFacts | undefined): readonly Mesh[] {
  const spec = objectOf(pod['spec'])
  const containers = [...objectsOf(spec['initContainers']), ...objectsOf(spec['containers'])]
  const present = new Set(containers.map(({ name }) => meshOfContainer(textOf(name) ?? '')))
  const metadata = objectOf(pod['metadata'])
  const pods = {
    labels: objectOf(metadata['labels']),
    annotations: objectOf(metadata['annotations']),
  }
  const expected: Readonly<Record<Mesh, boolean>> = {
    istio: expectsIstio(pods, namespace),
    linkerd: expectsLinkerd(pods, namespace),
  }
  return meshes.filter((mesh) => present.has(mesh) || expected[mesh])
}

function expectsIstio(pod: NamespaceFacts, namespace: NamespaceFacts | undefined): boolean {
  const name = 'sidecar.istio.io/inject'
  const own = pod.labels[name] ?? pod.annotations[name]
  if (own !== undefined) return own === 'true'
  if (namespace === undefined || pod.labels['istio.io/rev'] !== undefined) return true
  const { labels } = namespace
  if (labels['istio-injection'] === 'disabled') return false
  return labels['istio-injection'] === 'enabled' || labels['istio.io/rev'] !== undefined
}

function expectsLinkerd(pod: NamespaceFacts, namespace: NamespaceFacts | undefined): boolean {
  const name = 'linkerd.io/inject'
  const wish = pod.annotations[name] ?? namespace?.annotations[name]
  if (wish !== undefined) return wish === 'enabled' || wish === 'ingress'
  return namespace === undefined
}

/** A pod's annotations with the ports added to what each mesh is to leave alone. */
export function excludePorts(
  existing: JsonObject,
  of: {
    readonly meshes: readonly Mesh[]
    readonly inbound: number
    readonly outbound: number
  },
): JsonObject {
  const added: Record<string, string> = {}
  for (const mesh of of.meshes) {
    for (const direction of ['inbound', 'outbound'] as const) {
      const name = annotations[mesh][direction]
      added[name] = withPort(textOf(existing[name]) ?? '', of[direction])
    }
  }
  return { ...existing, ...added }
}

function withPort(list: string, port: number): string {
  const ports = list.split(',').map((each) => each.trim())
  if (list.trim() === '') return String(port)
  const covered = ports.some((each) => {
    const [from, to = from] = each.split('-').map(Number)
    return from !== undefined && to !== undefined && from <= port && port <= to
  })
  return covered || ports.includes('*') ? list : `${list},${port}`
}
