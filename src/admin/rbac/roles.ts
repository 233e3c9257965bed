import { grantFor } from '../explain/grants.ts'
import { isMount, type Act, type ServiceAccount } from './act.ts'

/** A Role, ClusterRole or binding, to be applied. */
export interface RbacObject {
  readonly apiVersion: 'rbac.authorization.k8s.io/v1'
  readonly kind: 'Role' | 'RoleBinding' | 'ClusterRole' | 'ClusterRoleBinding'
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly [field: string]: unknown
}

/** A rule of a Role (rbac.authorization.k8s.io/v1 PolicyRule). */
interface Rule {
  readonly apiGroups?: readonly string[]
  readonly resources?: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly nonResourceURLs?: readonly string[]
  readonly verbs: readonly string[]
}

const apiVersion = 'rbac.authorization.k8s.io/v1'
const apiGroup = 'rbac.authorization.k8s.io'

/**
 * The least Roles and bindings that allow `acts` and nothing else: for each secret that was mounted
 * the pair of {@link grantFor}; for what an account did at the API server one Role in each namespace
 * and, where it was about the whole cluster, one ClusterRole.
 */
export function rolesFor(acts: readonly Act[]): readonly RbacObject[] {
  const objects = new Map<string, RbacObject>()
  const add = (object: RbacObject): void => {
    const { kind, metadata } = object
    objects.set(`${metadata.namespace ?? ''} ${kind} ${metadata.name}`, object)
  }
  for (const { account, namespace, name } of acts.filter(isMount)) {
    const grantee = { namespace, serviceAccount: account.name }
    for (const grant of grantFor(name, grantee)) add(grant)
  }
  const places = Map.groupBy(
    acts.filter((act) => !isMount(act)),
    ({ account, namespace }) => `${account.namespace} ${account.name} ${namespace}`,
  )
  for (const together of places.values()) {
    const [first] = together
    if (first === undefined) continue
    for (const object of pairFor(first, rulesFor(together))) add(object)
  }
  return [...objects.values()]
}

function pairFor(
  { account, namespace }: { readonly account: ServiceAccount; readonly namespace: string },
  rules: readonly Rule[],
): readonly RbacObject[] {
  const name = `latchkey:suggested:${account.namespace}:${account.name}`
  const [kind, metadata] =
    namespace === ''
      ? (['ClusterRole', { name }] as const)
      : (['Role', { name, namespace }] as const)
  return [
    { apiVersion, kind, metadata, rules },
    {
      apiVersion,
      kind: `${kind}Binding`,
      metadata,
      roleRef: { apiGroup, kind, name },
      subjects: [{ kind: 'ServiceAccount', name: account.name, namespace: account.namespace }],
    },
  ]
}

/** What one verb on one resource needs: the names, or all of them. */
interface Need {
  readonly apiGroup: string
  readonly resource: string
  readonly verb: string
  readonly names: readonly string[]
}

function rulesFor(acts: readonly Act[]): readonly Rule[] {
  const needs = [
    ...Map.groupBy(
      acts.filter(({ path }) => path === ''),
      ({ apiGroup: group, resource, verb }) => `${group} ${resource} ${verb}`,
    ).values(),
  ].flatMap(needOf)
  const byObject = merge(needs, {
    together: ({ apiGroup: group, resource, names }) => JSON.stringify([group, resource, names]),
    rule: (same, { apiGroup: group, resource, names }) => ({
      apiGroups: [group],
      resources: [resource],
      ...(names.length === 0 ? {} : { resourceNames: names }),
      verbs: sorted(same.map(({ verb }) => verb)),
    }),
  })
  const rules = merge(byObject, {
    together: ({ resources: _, ...rest }) => JSON.stringify(rest),
    rule: (same, first) => ({
      ...first,
      resources: sorted(same.flatMap(({ resources }) => resources ?? [])),
    }),
  })
  const paths = merge(
    acts.filter(({ path }) => path !== ''),
    {
      together: ({ verb }) => verb,
      rule: (same, { verb }): Rule => ({
        nonResourceURLs: sorted(same.map(({ path }) => path)),
        verbs: [verb],
      }),
    },
  )
  return [...rules, ...paths]
}

function needOf(acts: readonly Act[]): readonly Need[] {
  const [first] = acts
  if (first === undefined) return []
  const { apiGroup: group, resource, verb } = first
  // A rule without names allows every name.
  const names = acts.some(({ name }) => name === '') ? [] : sorted(acts.map(({ name }) => name))
  return [{ apiGroup: group, resource, verb, names }]
}

function merge<Item>(
  items: readonly Item[],
  how: {
    readonly together: (item: Item) => string
    readonly rule: (same: readonly Item[], first: Item) => Rule
  },
): readonly Rule[] {
  return [...Map.groupBy(items, how.together).values()].flatMap((same) => {
    const [first] = same
    return first === undefined ? [] : [how.rule(same, first)]
  })
}

function sorted(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].sort()
}
