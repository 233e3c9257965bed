import { collection } from '../../e2e/support/kubernetes.ts'
import { until } from '../../e2e/support/until.ts'
import type { Cluster } from './use-cluster.ts'

/** A namespace of a developer's: enrolled, restricted, with an account `web` and an administrator. */
export interface Shop {
  readonly namespace: string
  /** Runs kubectl in the namespace as its administrator, who has ClusterRole `admin` there and nothing else. */
  kubectl(...args: readonly string[]): Promise<string>
  /** Writes a Secret by the API alone: kubectl would leave what it applied in an annotation. */
  put(secret: string, data: Readonly<Record<string, string>>): Promise<void>
  /** Lets an account have the files of a Secret, as the namespace's administrator. */
  grant(secret: string, account?: string): Promise<void>
  /** Output of a command in a container. */
  exec(pod: string, container: string, ...command: readonly string[]): Promise<string>
}

/** Makes the namespace and waits until it can be worked in. */
export async function createShop(cluster: Cluster, namespace: string): Promise<Shop> {
  const { admin } = cluster
  const owner = `${namespace}-owner`
  await cluster.apply(
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: namespace,
        labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
      },
    },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'web', namespace } },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'owner', namespace },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'admin' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: owner }],
    },
  )
  const { code, stderr } = await cluster.latchkey('enroll', namespace)
  if (code !== 0) throw new Error(stderr)
  // The controllers make what every namespace has; pods cannot start before.
  for (const [resource, name] of [
    ['serviceaccounts', 'default'],
    ['configmaps', 'kube-root-ca.crt'],
  ] as const) {
    await until(
      `${resource}/${name}`,
      async () => (await admin.get(collection('v1', resource, namespace), name)).metadata.uid,
      { timeoutMs: 30_000 },
    )
  }
  const kubectl: Shop['kubectl'] = async (...args) =>
    await cluster.kubectl('--namespace', namespace, '--as', owner, ...args)
  return {
    namespace,
    kubectl,
    put: async (secret, stringData) => {
      const secrets = collection('v1', 'secrets', namespace)
      const object = { metadata: { name: secret }, stringData }
      await admin.create(secrets, object).catch(async (error: unknown) => {
        if ((error as { status?: number }).status !== 409) throw error
        await admin.patch(secrets, secret, { stringData })
      })
    },
    grant: async (secret, account = 'web') => {
      const name = `mount-${secret}`
      const role = ['create', 'role', name, '--verb=mount', '--resource=secrets']
      await kubectl(...role, `--resource-name=${secret}`)
      const binding = ['create', 'rolebinding', name, `--role=${name}`]
      await kubectl(...binding, `--serviceaccount=${namespace}:${account}`)
    },
    exec: async (pod, container, ...command) =>
      await kubectl('exec', pod, `--container=${container}`, '--', ...command),
  }
}
