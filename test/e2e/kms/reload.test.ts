import test, { type ExecutionContext } from 'ava'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import {
  type EncryptionRule,
  identityProvider,
  kmsProvider,
  writeEncryptionConfig,
} from '../support/encryption-config.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { describeLoad, startLoad } from '../support/load.ts'
import { readStoredObject } from '../support/stored-object.ts'
import { until } from '../support/until.ts'

// The API server looks at its EncryptionConfiguration every 60 s.

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'default')
const configMaps = collection('v1', 'configmaps', 'default')
const data = { value: 'MARKED-PLAINTEXT-VALUE' }

let cluster: EncryptedCluster

test.before(async () => {
  cluster = await startEncryptedCluster(ground, { resources: ['secrets'] })
})

/** Replaces the configuration under load, and returns when new ConfigMaps are stored as wanted. */
async function reconfigure(
  t: ExecutionContext,
  rules: readonly EncryptionRule[],
  encrypted: boolean,
): Promise<void> {
  const { server, etcd, config } = cluster
  const load = startLoad(t, server.admin, { name: encrypted ? 'on' : 'off', workers: 1 })
  const begin = performance.now()
  await writeEncryptionConfig(config, rules)
  let number = 0
  await until(
    'the API server to take the new configuration',
    async () => {
      number += 1
      const name = `probe-${encrypted ? 'on' : 'off'}-${number}`
      await server.admin.create(configMaps, { metadata: { name }, data })
      const stored = await etcd.client.get(`/registry/configmaps/default/${name}`)
      return stored !== undefined && (readStoredObject(stored.value) !== undefined) === encrypted
    },
    { timeoutMs: 100_000, everyMs: 1000 },
  )
  const seconds = (performance.now() - begin) / 1000
  const report = await load.stop()
  t.deepEqual(report.failures, [])
  t.log(`taken after ${seconds.toFixed(0)} s; ${describeLoad(report, seconds)}`)
}

test.serial(
  'a resource that is added to the configuration is encrypted from then on',
  async (t) => {
    const { server, etcd } = cluster
    await server.admin.create(configMaps, { metadata: { name: 'early' }, data })
    const early = await etcd.client.get('/registry/configmaps/default/early')
    t.true(early?.value.includes(data.value))

    const providers = [kmsProvider(cluster.plugin.socket), identityProvider]
    await reconfigure(t, [{ resources: ['secrets', 'configmaps'], providers }], true)

    t.deepEqual((await server.admin.get(configMaps, 'early'))['data'], data)
    await server.admin.patch(configMaps, 'early', {})
    const stored = await cluster.stored('configmaps/default/early')
    t.is(stored.keyId, await cluster.keyring.active())
    t.false(stored.raw.includes(data.value))
  },
)

test.serial(
  'encryption is taken off again: identity first, then every object rewritten',
  async (t) => {
    const { server, etcd, plugin } = cluster
    await server.admin.create(secrets, { metadata: { name: 'kept' }, stringData: data })
    const providers = [identityProvider, kmsProvider(plugin.socket)]
    await reconfigure(t, [{ resources: ['secrets', 'configmaps'], providers }], false)

    for (const path of [secrets, configMaps]) {
      const { items } = await server.admin.list(path)
      for (const { metadata } of items) await server.admin.patch(path, metadata.name, {})
    }
    const all = [
      ...(await etcd.client.list('/registry/secrets/')),
      ...(await etcd.client.list('/registry/configmaps/')),
    ]
    t.true(all.length > 2)
    t.deepEqual(
      all.filter(({ value }) => readStoredObject(value) !== undefined).map(({ key }) => key),
      [],
    )
    // Now nothing needs the plugin: the API server starts without it and without the configuration.
    await plugin.stop()
    await server.stop()
    await writeEncryptionConfig(cluster.config, [
      { resources: ['secrets', 'configmaps'], providers: [identityProvider] },
    ])
    await server.start()
    t.deepEqual((await server.admin.get(configMaps, 'early'))['data'], data)
    t.deepEqual((await server.admin.get(secrets, 'kept'))['data'], {
      value: Buffer.from(data.value).toString('base64'),
    })
  },
)
