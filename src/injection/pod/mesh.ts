/** The service meshes whose proxies are recognised. */
export const meshes = ['istio', 'linkerd'] as const
export type Mesh = (typeof meshes)[number]

/** Containers that a mesh's own webhook adds. */
const meshContainers: Readonly<Record<Mesh, readonly string[]>> = {
  istio: ['istio-init', 'istio-validation', 'istio-proxy', 'enable-core-dump'],
  linkerd: ['linkerd-init', 'linkerd-network-validator', 'linkerd-proxy'],
}

/** Whether a container of this name belongs to a mesh and not to the pod's author. */
export function isMeshContainer(name: string): boolean {
  return meshes.some((mesh) => meshContainers[mesh].includes(name))
}

/** Whether a container of this name is a proxy through which the pod's traffic goes. */
export function isMeshProxy(name: string): boolean {
  return name === 'istio-proxy' || name === 'linkerd-proxy'
}

/** The mesh that a container of this name belongs to. */
export function meshOfContainer(name: string): Mesh | undefined {
  return meshes.find((mesh) => meshContainers[mesh].includes(name))
}
