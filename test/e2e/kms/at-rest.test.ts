import test from 'ava'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { until } from '../support/until.ts'
import type { WatchEvent } from '../support/watch.ts'
import { defineWidgets, widget, widgets } from '../support/widgets.ts'

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'default')
const configMaps = collection('v1', 'configmaps', 'default')
const value = 'MARKED-PLAINTEXT-VALUE'
const base64 = Buffer.from(value).toString('base64')

let cluster: EncryptedCluster

test.before(async () => {
  cluster = await startEncryptedCluster(ground, { resources: ['*.*'] })
  await defineWidgets(cluster.server.admin)
})

/** What a client sees of the three objects of this file. */
async function readAll(): Promise<unknown> {
  const { admin } = cluster.server
  return [
    (await admin.get(secrets, 'one'))['data'],
    (await admin.get(configMaps, 'one'))['data'],
    (await admin.get(widgets, 'one'))['spec'],
    (await admin.list(secrets)).items.map(({ metadata }) => metadata.name),
  ]
}

const expected = [{ value: base64 }, { value }, { value }, ['one']]

test.serial(
  'Secrets, ConfigMaps and custom resources are written, watched, read and listed',
  async (t) => {
    const { admin } = cluster.server
    const { metadata } = await admin.list(secrets)
    const events: WatchEvent[] = []
    const abort = new AbortController()
    const watching = (async () => {
      const { resourceVersion } = metadata
      for await (const event of admin.watch(secrets, { resourceVersion, signal: abort.signal })) {
        events.push(event)
      }
    })()

    await admin.create(secrets, { metadata: { name: 'one' }, stringData: { value: 'not yet' } })
    await admin.create(configMaps, { metadata: { name: 'one' }, data: { value } })
    await admin.create(widgets, widget('one', value))
    await admin.patch(secrets, 'one', { stringData: { value } })

    t.deepEqual(await readAll(), expected)
    await until('two events', () => events.length >= 2, { timeoutMs: 20_000 })
    abort.abort()
    await watching
    t.deepEqual(
      events.map(({ type, object }) => [type, object['data']]),
      [
        ['ADDED', { value: Buffer.from('not yet').toString('base64') }],
        ['MODIFIED', { value: base64 }],
      ],
    )
  },
)

test.serial('in etcd they begin with k8s:enc:kms:v2: and hold no plaintext', async (t) => {
  const active = await cluster.keyring.active()
  for (const key of [
    'secrets/default/one',
    'configmaps/default/one',
    'test.latchkey.dev/widgets/default/one',
  ]) {
    const stored = await cluster.stored(key)
    t.is(stored.raw.subarray(0, 24).toString(), 'k8s:enc:kms:v2:latchkey:', key)
    t.like(stored, { keyId: active, annotations: 0 })
    for (const part of [value, base64, '"one"', 'MARKED']) t.false(stored.raw.includes(part), key)
  }
})

test.serial('what is in etcd under *.* is encrypted, all of it', async (t) => {
  const all = await cluster.etcd.client.list('/registry/')
  const plain = all.filter(({ value: raw }) => raw.subarray(0, 15).toString() !== 'k8s:enc:kms:v2:')
  t.true(all.length > 50)
  t.deepEqual(
    plain.map(({ key }) => key).filter((key) => !builtIn.some((prefix) => key.startsWith(prefix))),
    [],
  )
})

/** What the API server keeps past its encryption: allocations and its own address. */
const builtIn = ['/registry/ranges/', '/registry/masterleases/', '/registry/peerserverleases/']

test.serial(
  'everything is read again after the API server was restarted, and after it was killed',
  async (t) => {
    for (const how of ['gracefully', 'at once'] as const) {
      await cluster.server.stop(how)
      await cluster.server.start()
      t.deepEqual(await readAll(), expected, how)
    }
  },
)

test.serial(
  'an object whose key id was edited in etcd is refused with a fixed sentence',
  async (t) => {
    const { admin } = cluster.server
    const { client } = cluster.etcd
    const key = '/registry/secrets/default/edited'
    await admin.create(secrets, { metadata: { name: 'edited' }, stringData: { value } })
    const { raw, keyId } = await cluster.stored('secrets/default/edited')
    const edited = Buffer.from(raw)
    edited.write('A', edited.indexOf(keyId) + keyId.length - 1)
    if (edited.equals(raw)) edited.write('Q', edited.indexOf(keyId) + keyId.length - 1)
    await client.put(key, edited)

    const error = await until(
      'the API server to notice',
      async () =>
        await admin.get(secrets, 'edited').then(
          () => undefined,
          (refused: unknown) => refused,
        ),
      { timeoutMs: 20_000 },
    )
    t.like(error, { status: 500 })
    const { message } = error as Error
    t.log(message)
    for (const part of [ground.dir, cluster.keyring.dir, value, base64])
      t.false(message.includes(part))

    await client.put(key, raw)
    await until(
      'the object to be readable again',
      async () => (await admin.get(secrets, 'edited'))['data'],
      { timeoutMs: 20_000 },
    )
    // While the API server reads everything anew, it asks for patience.
    await until('it to be deleted', () => admin.delete(secrets, 'edited').then(() => true), {
      timeoutMs: 20_000,
    })
  },
)
