import test from 'ava'
import { binary } from '../support/binaries.ts'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { useGround } from '../support/ground.ts'
import { kmsCheck } from '../support/kms-check.ts'
import { collection } from '../support/kubernetes.ts'
import { describeLoad, startLoad } from '../support/load.ts'
import { runOk } from '../support/run-program.ts'
import { readStoredObject } from '../support/stored-object.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'default')
const configMaps = collection('v1', 'configmaps', 'default')
const untouched = { value: Buffer.from('written under the first key').toString('base64') }

let cluster: EncryptedCluster
let first: string
let second: string

test.before(async () => {
  cluster = await startEncryptedCluster(ground)
  first = await cluster.keyring.active()
})

/** Names of the keys under which etcd holds Secrets and ConfigMaps now. */
async function keysInUse(): Promise<readonly string[]> {
  const { client } = cluster.etcd
  const values = [
    ...(await client.list('/registry/secrets/')),
    ...(await client.list('/registry/configmaps/')),
  ]
  const ids = values.map(({ key, value }) => readStoredObject(value)?.keyId ?? `plain ${key}`)
  return [...new Set(ids)].sort()
}

test.serial(
  'a key is staged and activated while a client writes and reads: nothing fails',
  async (t) => {
    const { admin } = cluster.server
    for (const name of ['old', 'old-too']) {
      await admin.create(secrets, { metadata: { name }, data: untouched })
      await admin.create(configMaps, { metadata: { name }, data: untouched })
    }
    const load = startLoad(t, admin)
    const begin = performance.now()
    const seconds = (): number => (performance.now() - begin) / 1000

    second = await cluster.keyring.stage()
    await cluster.keyring.activate()
    const activated = seconds()
    await until(
      'the API server to write under the new key',
      async () => {
        const { ok, text } = await kmsCheck(admin)
        if (!ok) throw new Error(text)
        return (await keysInUse()).includes(second)
      },
      { timeoutMs: 60_000, everyMs: 250 },
    )
    t.log(`first write under the new key ${(seconds() - activated).toFixed(1)} s after activation`)
    const report = await load.stop()
    t.log(describeLoad(report, seconds()))
    t.deepEqual(report.failures, [])
    t.true(report.writes > 100)

    t.is((await cluster.stored('secrets/default/old')).keyId, first)
    t.deepEqual((await admin.get(secrets, 'old'))['data'], untouched)
    t.deepEqual(
      (await cluster.keyring.list()).keys.map(({ state }) => state),
      ['superseded', 'active'],
    )
  },
)

test.serial(
  'an old object is stale: an update that changes nothing rewrites it, and once only',
  async (t) => {
    const { admin } = cluster.server
    const before = await cluster.stored('secrets/default/old')
    await admin.patch(secrets, 'old', {})
    const after = await cluster.stored('secrets/default/old')
    t.true(after.revision > before.revision)
    t.is(after.keyId, second)
    await admin.patch(secrets, 'old', {})
    t.is((await cluster.stored('secrets/default/old')).revision, after.revision)
    t.deepEqual((await admin.get(secrets, 'old'))['data'], untouched)
  },
)

test.serial('when kubectl has rewritten everything, no object is under the old key', async (t) => {
  const kubectl = await binary('kubectl')
  const call = async (args: readonly string[], stdin = ''): Promise<string> =>
    await runOk(ground, {
      command: kubectl,
      args: ['--kubeconfig', cluster.server.kubeconfig, ...args],
      stdin,
    })
  t.true((await keysInUse()).includes(first))
  for (const resource of ['secrets', 'configmaps']) {
    await call(['replace', '-f', '-'], await call(['get', resource, '-A', '-o', 'json']))
  }
  t.deepEqual(await keysInUse(), [second])
})

test.serial('the old key is retired while a client writes and reads: nothing fails', async (t) => {
  const load = startLoad(t, cluster.server.admin, { name: 'retiring' })
  const begin = performance.now()
  await cluster.keyring.retire(first)
  await until('five seconds of load', () => performance.now() - begin > 5000, { timeoutMs: 10_000 })
  const report = await load.stop()
  t.log(describeLoad(report, (performance.now() - begin) / 1000))
  t.deepEqual(report.failures, [])
  t.deepEqual(await keysInUse(), [second])
})

test.serial('with the old key destroyed, restarted programs read everything', async (t) => {
  await cluster.keyring.destroy(first)
  t.deepEqual(
    (await cluster.keyring.list()).keys.map(({ id, state }) => [id, state]),
    [
      [first, 'destroyed'],
      [second, 'active'],
    ],
  )
  await cluster.server.stop()
  await cluster.plugin.stop()
  await cluster.plugin.start()
  await cluster.server.start()
  const { admin } = cluster.server
  for (const path of [secrets, configMaps]) {
    const { items } = await admin.list(path)
    t.true(items.length > 0)
    for (const name of ['old', 'old-too']) {
      t.deepEqual((await admin.get(path, name))['data'], untouched)
    }
  }
  t.true((await kmsCheck(admin)).ok)
})
