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
      rules: [
        {
          apiGroups: ['', 'apps', 'batch'],
          resources: ['*'],
          verbs: ['create', 'get', 'update', 'patch'],
        },
      ],
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
  // Before there are policies, since some of it is what they would not let in.
  for (const policy of policiesWithExamples) {
    for (const example of await policyExamples(policy)) await prepare(example)
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

const pathOf = ({ object }: PolicyExample): string =>
  collection(object.apiVersion, `${object.kind.toLowerCase()}s`, object.metadata.namespace)

const keyOf = ({ policy, title, user }: PolicyExample): string => [policy, title, user].join('/')

/** Names of the objects that examples are updates of. */
const existing = new Map<string, string>()

/** Makes what an example is an update of: what it names, or the pod that a container is added to. */
async function prepare(example: PolicyExample): Promise<void> {
  const { object, before } = example
  const { ephemeralContainers, ...spec } = (before ?? object).spec
  if (before === undefined && ephemeralContainers === undefined) return
  const name = `existing-${(count += 1)}`
  const metadata = { ...(before ?? object).metadata, name }
  await server.admin.create(pathOf(example), { ...(before ?? object), metadata, spec })
  existing.set(keyOf(example), name)
}

async function submit(example: PolicyExample, who: Kubernetes): Promise<void> {
  const { object } = example
  const { ephemeralContainers } = object.spec
  const path = pathOf(example)
  const name = existing.get(keyOf(example))
  if (name === undefined) {
    await who.create(`${path}?dryRun=All`, object)
    return
  }
  if (ephemeralContainers !== undefined) {
    await who.patch(path, `${name}/ephemeralcontainers?dryRun=All`, {
      spec: { ephemeralContainers },
    })
    return
  }
  const current = await who.get(path, name)
  const { resourceVersion } = current.metadata
  await who.replace(path, {
    ...current,
    spec: object.kind === 'Pod' ? withImages(current, object.spec) : object.spec,
    metadata: {
      ...object.metadata,
      name,
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
  })
}

/** The spec of an existing pod with the wanted images: nothing else of a pod can be changed. */
function withImages(
  current: KubernetesObject,
  wanted: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const spec = current['spec'] as Readonly<Record<string, unknown>>
  const images = new Map(
    ['containers', 'initContainers']
      .flatMap((list) => (wanted[list] ?? []) as { name: string; image: string }[])
      .map(({ name, image }) => [name, image]),
  )
  const imagesOf = (list: string): unknown =>
    ((spec[list] ?? []) as { name: string }[]).map((it) => ({ ...it, image: images.get(it.name) }))
  return { ...spec, containers: imagesOf('containers'), initContainers: imagesOf('initContainers') }
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
