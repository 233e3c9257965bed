import { isLatchkeyError } from '../../base/errors.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import {
  listOf,
  metaOf,
  objectOf,
  textOf,
  textsOf,
  type JsonObject,
} from '../../clients/kubernetes-objects.ts'

/** Whom a binding is about. */
export interface Subject {
  readonly kind: 'ServiceAccount' | 'Group' | 'User'
  readonly namespace: string
  readonly name: string
}

/** A rule as RBAC reads it; lists that are absent are empty. */
export interface PresentRule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly resourceNames: readonly string[]
  readonly nonResourceURLs: readonly string[]
  readonly verbs: readonly string[]
}

/** A binding with the rules that it gives. */
export interface PresentGrant {
  readonly binding: { readonly kind: string; readonly namespace: string; readonly name: string }
  readonly role: { readonly kind: string; readonly name: string }
  readonly subjects: readonly Subject[]
  readonly rules: readonly PresentRule[]
}

/** What the cluster grants today. */
export interface Present {
  readonly grants: readonly PresentGrant[]
  /** What could not be read, for people; empty when everything was. */
  readonly unread: readonly string[]
}

const rbac = '/apis/rbac.authorization.k8s.io/v1'

/**
 * Reads Roles and bindings: of one namespace, or of all with what is bound in the whole cluster.
 *
 * @throws `ERR_KUBERNETES_*`.
 */
export async function readPresent(
  client: KubernetesClient,
  options: { readonly namespace: string | undefined; readonly signal: AbortSignal },
): Promise<Present> {
  const { namespace, signal } = options
  const place =
    namespace === undefined ? rbac : `${rbac}/namespaces/${encodeURIComponent(namespace)}`
  const unread: string[] = []
  const read = (path: string): Promise<readonly JsonObject[]> => listAll(client, path, signal)
  const roles = await read(`${place}/roles`)
  const bindings = await read(`${place}/rolebindings`)
  const clusterRoles = await read(`${rbac}/clusterroles`).catch((error: unknown) => {
    // Who administers a namespace need not see those.
    if (namespace === undefined || !isLatchkeyError(error, 'ERR_KUBERNETES_FORBIDDEN')) throw error
    unread.push('clusterroles')
    return []
  })
  const clusterBindings = namespace === undefined ? await read(`${rbac}/clusterrolebindings`) : []
  const rules = new Map<string, readonly PresentRule[]>()
  for (const role of [...roles, ...clusterRoles]) {
    const meta = metaOf(role)
    rules.set(`${meta.namespace} ${meta.name}`, listOf(role, 'rules').map(ruleOf))
  }
  const grant = (binding: JsonObject, kind: string): PresentGrant => {
    const meta = metaOf(binding)
    const roleRef = objectOf(binding['roleRef'])
    const role = { kind: textOf(roleRef, 'kind'), name: textOf(roleRef, 'name') }
    const where = role.kind === 'Role' ? meta.namespace : ''
    return {
      binding: { kind, namespace: meta.namespace, name: meta.name },
      role,
      subjects: listOf(binding, 'subjects').map((each) => subjectOf(each, meta.namespace)),
      // A binding to a role that is gone gives nothing.
      rules: rules.get(`${where} ${role.name}`) ?? [],
    }
  }
  return {
    grants: [
      ...bindings.map((each) => grant(each, 'RoleBinding')),
      ...clusterBindings.map((each) => grant(each, 'ClusterRoleBinding')),
    ],
    unread,
  }
}

async function listAll(
  client: KubernetesClient,
  path: string,
  signal: AbortSignal,
): Promise<readonly JsonObject[]> {
  const items: JsonObject[] = []
  let next = ''
  do {
    const query = { limit: '250', ...(next === '' ? {} : { continue: next }) }
    const page = objectOf(await client.request('GET', path, { query, signal }))
    items.push(...listOf(page, 'items').map(objectOf))
    next = textOf(objectOf(page['metadata']), 'continue')
  } while (next !== '')
  return items
}

function ruleOf(value: unknown): PresentRule {
  const rule = objectOf(value)
  return {
    apiGroups: textsOf(rule, 'apiGroups'),
    resources: textsOf(rule, 'resources'),
    resourceNames: textsOf(rule, 'resourceNames'),
    nonResourceURLs: textsOf(rule, 'nonResourceURLs'),
    verbs: textsOf(rule, 'verbs'),
  }
}

function subjectOf(value: unknown, bindingNamespace: string): Subject {
  const subject = objectOf(value)
  const kind = textOf(subject, 'kind')
  return {
    kind: kind === 'ServiceAccount' || kind === 'Group' ? kind : 'User',
    namespace: textOf(subject, 'namespace') || (kind === 'ServiceAccount' ? bindingNamespace : ''),
    name: textOf(subject, 'name'),
  }
}
