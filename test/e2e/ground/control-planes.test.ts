import test from 'ava'
import { join } from 'node:path'
import { type ControlPlanes, startControlPlanes } from '../support/control-planes.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { readStoredObject } from '../support/stored-object.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const leases = collection('coordination.k8s.io/v1', 'leases', 'kube-system')
const secrets = collection('v1', 'secrets', 'default')

let cluster: ControlPlanes

test.before(async () => {
  cluster = await startControlPlanes(ground, {
    // Three plugins on one machine may share a directory.
    place: () => ({ keyring: join(ground.dir, 'keyring'), flags: [], nodeFlags: () => [] }),
  })
})

test('every API server has an identity of its own, and says where it is', async (t) => {
  const [first] = cluster.nodes
  const found = await until(
    'three leases',
    async () => {
      const list = await first?.server.admin.list(leases, {
        labelSelector: 'apiserver.kubernetes.io/identity=kube-apiserver',
      })
      return list?.items.length === 3 && list.items
    },
    { timeoutMs: 20_000 },
  )
  const places = found.map(({ metadata: { labels, annotations } }) => [
    labels?.['kubernetes.io/hostname'],
    `https://${annotations?.['kubernetes.io/peer-advertise-address'] ?? ''}`,
  ])
  t.deepEqual(
    places.sort(([a = ''], [b = '']) => a.localeCompare(b)),
    cluster.nodes.map(({ name, server }) => [name, server.url]),
  )
})

test('each of them encrypts by its own plugin', async (t) => {
  for (const { name, server } of cluster.nodes) {
    await server.admin.create(secrets, { metadata: { name: `by-${name}` } })
    const stored = await cluster.etcd.client.get(`/registry/secrets/default/by-${name}`)
    t.is(stored && readStoredObject(stored.value)?.provider, 'latchkey')
  }
})
