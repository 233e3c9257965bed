import test from 'ava'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { useGround } from '../support/ground.ts'
import { kmsCheck } from '../support/kms-check.ts'
import { collection } from '../support/kubernetes.ts'
import { until } from '../support/until.ts'

// kube-apiserver 1.31 calls with another :authority (the socket's path, percent-encoded) than
// later releases do ("localhost").

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'default')
const stringData = { value: 'MARKED-PLAINTEXT-VALUE' }
const data = { value: Buffer.from(stringData.value).toString('base64') }

let cluster: EncryptedCluster

test.before(async () => {
  cluster = await startEncryptedCluster(ground, { program: 'older-kube-apiserver' })
})

test.serial('an API server of release 1.31 encrypts with the plugin', async (t) => {
  const { admin } = cluster.server
  t.regex((await admin.text('/version')).body, /"gitVersion": "v1\.31\./)
  await admin.create(secrets, { metadata: { name: 'one' }, stringData })
  t.deepEqual((await admin.get(secrets, 'one'))['data'], data)
  const stored = await cluster.stored('secrets/default/one')
  t.is(stored.keyId, await cluster.keyring.active())
  t.false(stored.raw.includes(stringData.value))
})

test.serial('it follows a key that is staged and activated', async (t) => {
  const { admin } = cluster.server
  await cluster.keyring.stage()
  const next = await cluster.keyring.activate()
  let number = 0
  await until(
    'a write under the new key',
    async () => {
      await kmsCheck(admin)
      number += 1
      await admin.create(secrets, { metadata: { name: `new-${number}` }, stringData })
      return (await cluster.stored(`secrets/default/new-${number}`)).keyId === next
    },
    { timeoutMs: 60_000, everyMs: 500 },
  )
  t.deepEqual((await admin.get(secrets, 'one'))['data'], data)
})

test.serial('it reads everything after a restart of both', async (t) => {
  await cluster.server.stop()
  await cluster.plugin.stop()
  await cluster.plugin.start()
  await cluster.server.start()
  const { items } = await cluster.server.admin.list(secrets)
  t.true(items.length > 1)
  for (const item of items) t.deepEqual(item['data'], data, item.metadata.name)
})
