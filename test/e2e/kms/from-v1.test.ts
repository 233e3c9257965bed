import test from 'ava'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import {
  identityProvider,
  kmsProvider,
  type Provider,
  writeEncryptionConfig,
} from '../support/encryption-config.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'

// A cluster that still encrypts with KMS v1 moves to v2 with the same plugin and socket.

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'default')
const stringData = { value: 'MARKED-PLAINTEXT-VALUE' }
const data = { value: Buffer.from(stringData.value).toString('base64') }
const resources = ['secrets']
const names = ['one', 'three', 'two']

let cluster: EncryptedCluster

const v1 = (socket: string): Provider => ({
  kms: { apiVersion: 'v1', name: 'latchkey-v1', endpoint: `unix://${socket}`, timeout: '3s' },
})

test.before(async () => {
  cluster = await startEncryptedCluster(ground, {
    resources,
    providers: (socket) => [v1(socket), identityProvider],
    flags: ['--feature-gates=KMSv1=true'],
  })
})

/** How the values of all Secrets in etcd begin, once each. */
async function prefixes(): Promise<readonly string[]> {
  const stored = await cluster.etcd.client.list('/registry/secrets/')
  return [...new Set(stored.map(({ value }) => value.toString('latin1', 0, 15)))].sort()
}

async function restartWith(providers: readonly Provider[]): Promise<void> {
  await cluster.server.stop()
  await writeEncryptionConfig(cluster.config, [{ resources, providers }])
  await cluster.server.start()
}

test.serial('under KMS v1 Secrets are encrypted and read again after a key rotation', async (t) => {
  const { admin } = cluster.server
  await admin.create(secrets, { metadata: { name: 'one' }, stringData })
  await cluster.keyring.stage()
  await cluster.keyring.activate()
  await admin.create(secrets, { metadata: { name: 'two' }, stringData })
  t.deepEqual(await prefixes(), ['k8s:enc:kms:v1:'])
  const stored = await cluster.etcd.client.list('/registry/secrets/')
  for (const { key, value } of stored) t.false(value.includes(stringData.value), key)

  await restartWith([v1(cluster.plugin.socket), identityProvider])
  for (const name of ['one', 'two']) t.deepEqual((await admin.get(secrets, name))['data'], data)
})

test.serial('with v2 first, v1 is read, and rewriting moves every object to v2', async (t) => {
  const { admin } = cluster.server
  const { socket } = cluster.plugin
  await restartWith([kmsProvider(socket), v1(socket), identityProvider])
  await admin.create(secrets, { metadata: { name: 'three' }, stringData })
  t.deepEqual(await prefixes(), ['k8s:enc:kms:v1:', 'k8s:enc:kms:v2:'])
  for (const name of names) {
    t.deepEqual((await admin.get(secrets, name))['data'], data)
    await admin.patch(secrets, name, {})
  }
  t.deepEqual(await prefixes(), ['k8s:enc:kms:v2:'])
})

test.serial('then the API server runs without v1', async (t) => {
  const { admin } = cluster.server
  await restartWith([kmsProvider(cluster.plugin.socket), identityProvider])
  const { items } = await admin.list(secrets)
  t.deepEqual(
    items.map((item) => [item.metadata.name, item['data']]),
    names.map((name) => [name, data]),
  )
})
