import { isDeepStrictEqual } from 'node:util'
import { LatchkeyError, isLatchkeyError } from '../base/errors.ts'
import type { KubernetesClient } from '../clients/kubernetes.ts'
import { objectOf } from '../clients/kubernetes-objects.ts'
import type { Terminal } from './terminal.ts'

/** What `latchkey enroll` is given. */
export interface EnrollFlags {
  readonly namespace: string
  /** Where the broker runs. */
  readonly system: string
  /** Takes the right away again. */
  readonly remove: boolean
}

const name = 'latchkey-enrolled'

/**
 * `latchkey enroll NAMESPACE`: lets the broker read the Secrets of one namespace, and say on its pods
 * what they wait for. Repeating it changes nothing.
 *
 * @throws `ERR_WOULD_LOSE_DATA` when a binding of that name is somebody else's; `ERR_USAGE` when there
 * is no such namespace, or its pods are exempt; `ERR_KUBERNETES_*`.
 */
export async function enroll(
  context: {
    readonly terminal: Terminal
    readonly client: KubernetesClient
    readonly signal: AbortSignal
  },
  flags: EnrollFlags,
): Promise<void> {
  const { terminal, client, signal } = context
  const { namespace, system } = flags
  const path = `/apis/rbac.authorization.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/rolebindings`
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name }
  const subjects = [{ kind: 'ServiceAccount', name: 'latchkey-broker', namespace: system }]
  const isOurs = async (): Promise<boolean> => {
    const found = objectOf(await client.request('GET', `${path}/${name}`, { signal }))
    return isDeepStrictEqual([found['roleRef'], found['subjects']], [roleRef, subjects])
  }
  if (flags.remove) {
    try {
      if (!(await isOurs())) throw somebodyElses(namespace)
      await client.request('DELETE', `${path}/${name}`, { signal })
    } catch (error) {
      if (!isLatchkeyError(error, 'ERR_KUBERNETES_NOT_FOUND')) throw error
    }
    terminal.say(
      `namespace ${namespace} is not enrolled any more: its pods keep what they have, and new ones wait`,
    )
    return
  }
  if (namespace === system || namespace === 'kube-system') {
    throw new LatchkeyError('ERR_USAGE', `pods of namespace ${namespace} are given no secrets`, {
      hint: 'enroll the namespaces that applications run in; this one holds keys of the cluster',
    })
  }
  const body = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name, namespace },
    roleRef,
    subjects,
  }
  try {
    await client.request('POST', path, { body, signal })
    terminal.say(`namespace ${namespace} is enrolled`)
    return
  } catch (error) {
    if (isLatchkeyError(error, 'ERR_KUBERNETES_NOT_FOUND')) {
      throw new LatchkeyError('ERR_USAGE', `there is no namespace ${namespace}`, {
        hint: 'create it first',
      })
    }
    if (!isLatchkeyError(error, 'ERR_KUBERNETES_CONFLICT')) throw error
  }
  if (!(await isOurs())) throw somebodyElses(namespace)
  terminal.say(`namespace ${namespace} is enrolled already`)
}

function somebodyElses(namespace: string): LatchkeyError {
  return new LatchkeyError(
    'ERR_WOULD_LOSE_DATA',
    `RoleBinding ${name} of namespace ${namespace} binds something else`,
    { hint: `look at it, and delete it: kubectl -n ${namespace} delete rolebinding ${name}` },
  )
}
