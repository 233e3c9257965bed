import test from 'ava'
import { objectOf, objectsOf, type JsonObject } from '../../../src/injection/pod/json.ts'
import { applyJsonPatch } from '../../support/apply-json-patch.ts'
import { injectionVectors } from '../../support/injection.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { createClusterIdentity } from '../support/cluster-identity.ts'
import { startEtcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { collection, type KubernetesObject } from '../support/kubernetes.ts'

// Before the first hook is declared: ava takes no declarations after a pause.
const vectors = await injectionVectors()
const ground = useGround(test)
let server: ApiServer

test.before(async () => {
  const etcd = await startEtcd(ground)
  server = await startApiServer(ground, { etcd, identity: await createClusterIdentity(ground) })
  for (const [name, level] of [
    ['restricted', 'restricted'],
    ['privileged', 'privileged'],
  ] as const) {
    const labels = { 'pod-security.kubernetes.io/enforce': level }
    await server.admin.create(collection('v1', 'namespaces'), { metadata: { name, labels } })
    for (const account of ['default', 'web', 'nightly', 'agent', 'db']) {
      await server.admin.create(collection('v1', 'serviceaccounts', name), {
        metadata: { name: account },
      })
    }
  }
})

/** The pod's own containers as the restricted Pod Security Standard wants them. */
function harden(pod: JsonObject): JsonObject {
  const spec = objectOf(pod['spec'])
  const each = (containers: readonly JsonObject[]): readonly JsonObject[] =>
    containers.map((container) =>
      container['name'] === 'latchkey'
        ? container
        : {
            ...container,
            securityContext: {
              allowPrivilegeEscalation: false,
              capabilities: { drop: ['ALL'] },
              runAsNonRoot: true,
              seccompProfile: { type: 'RuntimeDefault' },
              ...objectOf(container['securityContext']),
            },
          },
    )
  return {
    ...pod,
    spec: {
      ...spec,
      automountServiceAccountToken: false,
      initContainers: each(objectsOf(spec['initContainers'])),
      containers: each(objectsOf(spec['containers'])),
    },
  }
}

for (const vector of vectors) {
  test(`the API server takes the patched pod: ${vector.title}`, async (t) => {
    const patched = harden(applyJsonPatch(vector.pod, vector.patch) as JsonObject)
    const namespace =
      objectOf(patched['spec'])['hostNetwork'] === true ? 'privileged' : 'restricted'
    const metadata = objectOf(patched['metadata'])
    const pod = { ...patched, metadata } as unknown as KubernetesObject
    const created = await server.admin.create(
      `${collection('v1', 'pods', namespace)}?dryRun=All&fieldValidation=Strict`,
      pod,
    )
    const init = objectsOf(objectOf(created['spec'] as JsonObject)['initContainers'])
    t.true(init.some((each) => each['name'] === 'latchkey' && each['restartPolicy'] === 'Always'))
  })
}
