import { builtInGroups } from './built-in-groups.ts'

/** What an etcd key of an API server says about the object behind it. */
export interface StoredName {
  /** As an EncryptionConfiguration names it: `secrets`, `deployments.apps`, `widgets.example.com`. */
  readonly resource: string
  /** API group; empty for the core group. */
  readonly group: string
  /** The resource without its group, as in the API's paths. */
  readonly plural: string
  /** Empty for what has no namespace. */
  readonly namespace: string
  readonly name: string
  /**
   * Whether API servers keep it past their encryption, whatever their EncryptionConfiguration says:
   * allocated addresses and ports, and the API servers' own leases.
   */
  readonly exempt: boolean
}

/** The API server's default of `--etcd-prefix`. */
export const defaultPrefix = '/registry'

/** Kept by allocators and endpoint reconcilers, which use etcd without transformers (controlplane/reconcilers, registry/core/service/allocator). */
const exemptResources: ReadonlySet<string> = new Set(['ranges', 'masterleases', 'peerserverleases'])

/** Where etcd calls a resource by another name (`SpecialDefaultResourcePrefixes` in default_storage_factory_builder.go). */
const specialNames: Readonly<Record<string, string>> = {
  controllers: 'replicationcontrollers',
  ingress: 'ingresses',
  minions: 'nodes',
}
const specialServices: Readonly<Record<string, string>> = {
  endpoints: 'endpoints',
  specs: 'services',
}

/**
 * Reads an etcd key: `PREFIX/RESOURCE/[NAMESPACE/]NAME`, and for custom resources and the aggregation
 * layer's own `PREFIX/GROUP/RESOURCE/[NAMESPACE/]NAME`. `undefined` for a key outside the prefix, or
 * of no such form.
 */
export function parseEtcdKey(key: string, prefix: string = defaultPrefix): StoredName | undefined {
  if (!key.startsWith(`${prefix}/`)) return undefined
  const parts = key.slice(prefix.length + 1).split('/')
  const [first = '', second = ''] = parts
  if (first.includes('.')) return stored(first, second, parts.slice(2))
  const service = first === 'services' ? specialServices[second] : undefined
  if (service !== undefined) return stored('', service, parts.slice(2))
  const plural = specialNames[first] ?? first
  return stored(builtInGroups.get(plural) ?? '', plural, parts.slice(1))
}

/** The resource as an EncryptionConfiguration names it. */
export function resourceName(group: string, plural: string): string {
  return group === '' ? plural : `${plural}.${group}`
}

function stored(group: string, plural: string, rest: readonly string[]): StoredName | undefined {
  const [last, ...before] = rest.toReversed()
  const namespace = before[0] ?? ''
  if (plural === '' || last === undefined || last === '') return undefined
  const exempt = group === '' && exemptResources.has(plural)
  // An allocator has one key of any depth; everything else has a namespace at most.
  if (before.length > 1 && !exempt) return undefined
  if (before.length === 1 && namespace === '') return undefined
  const resource = resourceName(group, plural)
  return { resource, group, plural, namespace, name: last, exempt }
}

/**
 * What all etcd keys of `resource`, named as an EncryptionConfiguration does, begin with. The group
 * of a built-in resource may be left out.
 */
export function keyPrefixOf(resource: string, prefix: string = defaultPrefix): string {
  const { group, plural } = splitResourceName(resource)
  if (group !== '' && builtInGroups.get(plural) !== group) return `${prefix}/${group}/${plural}/`
  if (group === '') {
    const service = nameIn(specialServices, plural)
    if (service !== undefined) return `${prefix}/services/${service}/`
  }
  return `${prefix}/${nameIn(specialNames, plural) ?? plural}/`
}

/** The parts of a resource's name; a built-in resource gets its group when it is left out. */
export function splitResourceName(resource: string): {
  readonly group: string
  readonly plural: string
} {
  const dot = resource.indexOf('.')
  const plural = dot < 0 ? resource : resource.slice(0, dot)
  const group = dot < 0 ? (builtInGroups.get(plural) ?? '') : resource.slice(dot + 1)
  return { group, plural }
}

function nameIn(names: Readonly<Record<string, string>>, plural: string): string | undefined {
  return Object.entries(names).find(([, known]) => known === plural)?.[0]
}
