import type { Clock } from '../base/clock.ts'
import type { KubernetesClient } from '../clients/kubernetes.ts'
import { metaOf, type ObjectMeta } from '../clients/kubernetes-objects.ts'
import { reviewAccess } from '../clients/kubernetes-reviews.ts'
import { watchResource, type ResourceWatch } from '../clients/kubernetes-watch.ts'
import { asking } from './authenticate-kubernetes.ts'
import type { Authorizer, PermissionScope } from './identity.ts'

const rbac = '/apis/rbac.authorization.k8s.io/v1'
/** What RBAC answers from, and whom a change of one object concerns. */
const watched: readonly {
  readonly path: string
  readonly scope: (meta: ObjectMeta) => PermissionScope
}[] = [
  { path: `${rbac}/roles`, scope: inNamespace },
  { path: `${rbac}/rolebindings`, scope: inNamespace },
  { path: `${rbac}/clusterroles`, scope: everywhere },
  { path: `${rbac}/clusterrolebindings`, scope: everywhere },
  {
    path: '/api/v1/serviceaccounts',
    scope: ({ namespace, name }) => ({ namespace, account: name, seen: true }),
  },
]

/**
 * Authorizes by SubjectAccessReview, verb `mount` on core `secrets` by name, and watches the
 * metadata of everything that RBAC answers from. Other authorizers may change their minds unseen:
 * whoever caches asks again now and then.
 */
export function kubernetesAuthorizer(
  client: KubernetesClient,
  deps: {
    readonly clock: Clock
    /** Uniform in [0, 1). */
    readonly random: () => number
    readonly signal: AbortSignal
    readonly onProblem: (error: unknown) => void
  },
): Authorizer {
  const listeners = new Set<(scope: PermissionScope) => void>()
  const tell = (scope: PermissionScope): void => {
    for (const listener of [...listeners]) listener(scope)
  }
  let troubledAtMs = -Infinity
  const watches: readonly ResourceWatch[] = watched.map(({ path, scope }) =>
    watchResource<ObjectMeta>(
      {
        path,
        content: 'metadata',
        list: 'position',
        project: metaOf,
        // Where a watch begins anew, anything may have changed before.
        replaced: () => {
          tell({ ...everywhere(), seen: false })
        },
        changed: (_event, meta) => {
          tell(scope(meta))
        },
        problem: (error, wasLive) => {
          // Connections are cut by whatever is between; an API server that begins refuses some first.
          if (!wasLive) troubledAtMs = deps.clock.monotonicMs()
          deps.onProblem(error)
        },
      },
      { ...deps, client },
    ),
  )
  return {
    mayMount: ({ user, namespace }, secret, signal) => {
      const question = { user, verb: 'mount', resource: 'secrets', namespace, name: secret }
      return asking(() => reviewAccess(client, question, signal))
    },
    mayListPods: ({ user }, namespace, signal) =>
      asking(() =>
        reviewAccess(client, { user, verb: 'list', resource: 'pods', namespace, name: '' }, signal),
      ),
    onChange: (listener, signal) => {
      listeners.add(listener)
      signal.addEventListener('abort', () => listeners.delete(listener), { once: true })
    },
    staleMs: () => Math.max(...watches.map((watch) => watch.staleMs())),
    troubledMsAgo: () => deps.clock.monotonicMs() - troubledAtMs,
  }
}

function inNamespace({ namespace }: ObjectMeta): PermissionScope {
  return { namespace, account: undefined, seen: true }
}

function everywhere(): PermissionScope {
  return { namespace: undefined, account: undefined, seen: true }
}
