import test from 'ava'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { createClusterIdentity } from '../support/cluster-identity.ts'
import { identityProvider, writeEncryptionConfig } from '../support/encryption-config.ts'
import { type Etcd, startEtcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'

const ground = useGround(test)
const config = join(ground.dir, 'encryption.yaml')
const secrets = collection('v1', 'secrets', 'default')
const stringData = { password: 'plain as day' }
const plaintext = Buffer.from(stringData.password)

let etcd: Etcd
let server: ApiServer

test.before(async () => {
  etcd = await startEtcd(ground)
  await writeEncryptionConfig(config, [{ resources: ['secrets'], providers: [identityProvider] }])
  const identity = await createClusterIdentity(ground)
  server = await startApiServer(ground, { etcd, identity, encryptionConfig: config })
})

test.serial('without encryption a Secret lies in etcd in plaintext', async (t) => {
  await server.admin.create(secrets, { metadata: { name: 'open' }, stringData })
  const stored = await etcd.client.get('/registry/secrets/default/open')
  t.true(stored?.value.includes(plaintext))
})

test.serial('with secretbox it does not, and what was stored before stays readable', async (t) => {
  await server.stop()
  const key = { name: 'k', secret: randomBytes(32).toString('base64') }
  await writeEncryptionConfig(config, [
    { resources: ['secrets'], providers: [{ secretbox: { keys: [key] } }, identityProvider] },
  ])
  await server.start()
  await server.admin.create(secrets, { metadata: { name: 'closed' }, stringData })
  const stored = await etcd.client.get('/registry/secrets/default/closed')
  t.is(stored?.value.subarray(0, 23).toString(), 'k8s:enc:secretbox:v1:k:')
  t.false(stored?.value.includes(plaintext))
  const { items } = await server.admin.list(secrets)
  t.deepEqual(
    items.map(({ metadata, data }) => [metadata.name, data]),
    ['closed', 'open'].map((name) => [name, { password: plaintext.toString('base64') }]),
  )
})

test.serial('a user without rights is refused', async (t) => {
  const web = await server.as({ name: 'web' })
  const error = await t.throwsAsync(web.get(secrets, 'open'))
  t.like(error, { status: 403, reason: 'Forbidden' })
})
