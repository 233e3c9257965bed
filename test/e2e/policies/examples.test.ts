import test from 'ava'
import { join } from 'node:path'
import { injectPod } from '../../../src/webhook/inject/inject.ts'
import { contextOf, injectionVectors } from '../../support/injection.ts'
import {
  exampleGrants,
  exampleNamespaces,
  namespaceLabels,
  policiesWithExamples,
  policyExamples,
  type PolicyExample,
} from '../../support/policy-examples.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { binary } from '../support/binaries.ts'
import { createClusterIdentity } from '../support/cluster-identity.ts'
import { startEtcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { collection, type Kubernetes, type KubernetesObject } from '../support/kubernetes.ts'
import { runOk } from '../support/run-program.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const policies = join(import.meta.dirname, '../../../deploy/policies')
const rbac = 'rbac.authorization.k8s.io/v1'
const people = ['jane', 'joe', 'sam', 'amy']
const controller = 'system:serviceaccount:kube-system:replicaset-controller'

let server: ApiServer

test.before(async () => {
  const etcd = await startEtcd(ground)
  server = await startApiServer(ground, {
    etcd,
    identity: await createClusterIdentity(ground),
    // Whether containers may be privileged is the policies' to say here.
    flags: ['--allow-privileged=true'],
  })
  const { admin } = server
  for (const name of Object.keys(exampleNamespaces) as (keyof typeof exampleNamespaces)[]) {
    const labels = namespaceLabels(name)
    await admin.create(collection('v1', 'namespaces'), { metadata: { name, labels } })
  }
  for (const namespace of [...Object.keys(exampleNamespaces), 'kube-system']) {
    for (const name of ['default', 'web', 'admin']) {
      const accounts = collection('v1', 'serviceaccounts', namespace)
      await admin.create(accounts, { metadata: { name } })
    }
  }
  const resources: Readonly<Record<string, string>> = {
    Role: 'roles',
    RoleBinding: 'rolebindings',
    ClusterRole: 'clusterroles',
    ClusterRoleBinding: 'clusterrolebindings',
  }
  const creators: typeof exampleGrants = [
    {
      kind: 'ClusterRole',
      metadata: { name: 'creators' },
      rules: [{ apiGroups: ['', 'apps', 'batch'], resources: ['*'], verbs: ['create'] }],
    },
    {
      kind: 'ClusterRoleBinding',
      metadata: { name: 'creators' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'creators' },
      subjects: [...people, controller].map((name) => ({
        kind: 'User',
        apiGroup: 'rbac.authorization.k8s.io',
        name,
      })),
    },
  ]
  for (const grant of [...exampleGrants, ...creators]) {
    const { namespace } = grant.metadata
    await admin.create(collection(rbac, resources[grant.kind] ?? '', namespace), grant)
  }
  await runOk(ground, {
    command: await binary('kubectl'),
    args: ['--kubeconfig', server.kubeconfig, 'apply', '-k', policies, '--validate=strict'],
  })
  // Policies and grants take effect when watches of the API server's own have brought them.
  for (const policy of policiesWithExamples) {
    const examples = await policyExamples(policy)
    for (const probe of [examples.find((it) => !it.allowed), examples.find((it) => it.user)]) {
      if (probe === undefined) continue
      await until(`${policy} to hold`, async () => (await verdict(probe)).isAsExpected, {
        timeoutMs: 30_000,
        everyMs: 100,
      })
    }
  }
})

const asked = new Map<string, Kubernetes>()
let count = 0

/** What the API server says to an example. */
async function verdict(
  example: PolicyExample,
): Promise<{ readonly isAsExpected: boolean; readonly said: string }> {
  const { user = 'admin', group = '', allowed, message } = example
  const key = `${user} ${group}`
  const who =
    user === 'admin'
      ? server.admin
      : (asked.get(key) ?? (await server.as({ name: user, ...(group === '' ? {} : { group }) })))
  asked.set(key, who)
  let said = 'allowed'
  try {
    await submit(example, who)
  } catch (error) {
    said = error instanceof Error ? error.message : 'unknown'
  }
  const isDenial = said.includes(`${example.policy}.latchkey.dev`) && said.includes(message)
  return { isAsExpected: allowed ? said === 'allowed' : isDenial, said }
}

async function submit({ policy, object, before }: PolicyExample, who: Kubernetes): Promise<void> {
  const path = collection(
    object.apiVersion,
    `${object.kind.toLowerCase()}s`,
    object.metadata.namespace,
  )
  if (before === undefined && policy !== 'no-debug-access') {
    await who.create(`${path}?dryRun=All`, object)
    return
  }
  const name = `existing-${(count += 1)}`
  const metadata = { ...object.metadata, name }
  const { ephemeralContainers, ...spec } = (before ?? object).spec
  const former = { ...(before ?? object), metadata: { ...(before ?? object).metadata, name }, spec }
  const { metadata: made } = await who.create(path, former)
  if (policy === 'no-debug-access') {
    await who.patch(path, `${name}/ephemeralcontainers?dryRun=All`, {
      spec: { ephemeralContainers },
    })
    return
  }
  const current = await who.get(path, name)
  const next = merged(current, object.spec) as KubernetesObject
  const { resourceVersion } = made
  await who.replace(path, {
    ...next,
    metadata: { ...metadata, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
  })
}

/** The existing pod with the images of the wanted one: nothing else of a pod can be changed. */
function merged(current: KubernetesObject, wanted: Readonly<Record<string, unknown>>): unknown {
  const spec = current['spec'] as Readonly<Record<string, unknown>>
  const images = new Map(
    ['containers', 'initContainers']
      .flatMap((list) => (wanted[list] ?? []) as { name: string; image: string }[])
      .map(({ name, image }) => [name, image]),
  )
  const withImages = (list: string): unknown =>
    ((spec[list] ?? []) as { name: string }[]).map((it) => ({ ...it, image: images.get(it.name) }))
  return {
    ...current,
    spec: {
      ...spec,
      containers: withImages('containers'),
      initContainers: withImages('initContainers'),
    },
  }
}

for (const policy of policiesWithExamples) {
  test(`the API server says what the examples of ${policy} say`, async (t) => {
    const examples = await policyExamples(policy)
    t.true(examples.some(({ allowed }) => allowed) && examples.some(({ allowed }) => !allowed))
    for (const example of examples) {
      const { isAsExpected, said } = await verdict(example)
      t.true(isAsExpected, `${example.title}: ${said}`)
    }
  })
}

test('every pod that the webhook injects passes every policy', async (t) => {
  const vectors = await injectionVectors()
  t.true(vectors.length > 10)
  for (const vector of vectors) {
    const result = injectPod(vector.pod, contextOf(vector))
    if (result.kind !== 'injected') throw new Error(vector.name)
    const metadata = result.pod['metadata'] as KubernetesObject['metadata']
    const { serviceAccountName: _, ...spec } = result.pod['spec'] as Record<string, unknown>
    const pod = { ...result.pod, metadata: { ...metadata, name: 'web' }, spec }
    await t.notThrowsAsync(
      server.admin.create(`${collection('v1', 'pods', 'enforced')}?dryRun=All`, pod),
      vector.name,
    )
  }
})
