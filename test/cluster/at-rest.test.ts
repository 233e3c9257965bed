import test from 'ava'
import { readFile } from 'node:fs/promises'
import { createEtcdClient } from '../e2e/support/etcd-client.ts'
import { createHttpsClient } from '../e2e/support/https.ts'
import { latchkey } from '../e2e/support/keyring.ts'
import { readStoredObject } from '../e2e/support/stored-object.ts'
import { useCluster } from './support/use-cluster.ts'

const cluster = useCluster(test)

test('every Secret and ConfigMap of the cluster is in etcd under our key, those of Latchkey too', async (t) => {
  const { endpoint, files } = cluster.etcd
  const https = createHttpsClient(endpoint, {
    ca: await readFile(files.ca, 'utf8'),
    identity: {
      cert: await readFile(files.cert, 'utf8'),
      key: await readFile(files.key, 'utf8'),
    },
  })
  cluster.ground.defer('connection to etcd', () => {
    https.close()
  })
  const etcd = createEtcdClient(https)
  const { dir, root } = cluster.keyring
  const list = ['keys', 'list', '--keyring', dir, '--root', root, '-o', 'json']
  const { keys } = JSON.parse(await latchkey(cluster.ground, list)) as {
    keys: readonly { id: string; state: string }[]
  }
  const active = keys.find(({ state }) => state === 'active')?.id
  for (const resource of ['secrets', 'configmaps']) {
    const stored = await etcd.list(`/registry/${resource}/`)
    t.true(stored.length >= 2, resource)
    for (const { key, value } of stored) {
      t.like(readStoredObject(value), { provider: 'latchkey', keyId: active }, key)
    }
  }
  const ours = await etcd.list('/registry/secrets/latchkey-system/')
  t.true(
    ours.map(({ key }) => key).includes('/registry/secrets/latchkey-system/latchkey-authority'),
  )
})
