import { type EncryptedCluster, startEncryptedCluster } from './encrypted-cluster.ts'
import {
  identityProvider,
  kmsProvider,
  kmsV1Provider,
  localProvider,
  writeEncryptionConfig,
  type Provider,
} from './encryption-config.ts'
import type { StoredValue } from './etcd-client.ts'
import type { Ground } from './ground.ts'
import { collection } from './kubernetes.ts'
import { transform, type Transformed } from './transformer.ts'
import { until } from './until.ts'
import { defineWidgets, widget, widgets } from './widgets.ts'

/** What every object holds. */
export const everyValue = 'MARKED-PLAINTEXT-VALUE'

/** Resources, each with the provider that encrypts it, and where etcd and the API have it. */
export const everyPlace = {
  secrets: { at: '/registry/secrets/', path: collection('v1', 'secrets', 'default') },
  configmaps: { at: '/registry/configmaps/', path: collection('v1', 'configmaps', 'default') },
  podtemplates: {
    at: '/registry/podtemplates/',
    path: collection('v1', 'podtemplates', 'default'),
  },
  limitranges: { at: '/registry/limitranges/', path: collection('v1', 'limitranges', 'default') },
  'widgets.test.latchkey.dev': { at: '/registry/test.latchkey.dev/widgets/', path: widgets },
} as const

/** One of them. */
export type Place = keyof typeof everyPlace

/** All of them. */
export const everyResource = Object.keys(everyPlace) as Place[]

/** An object, and what the API server's own code makes of it. */
export interface Viewed {
  readonly stored: StoredValue
  readonly read: Transformed
}

/** A cluster whose etcd holds data of every provider, in plaintext and under two of our keys. */
export interface EveryProvider {
  readonly cluster: EncryptedCluster
  /** Our keys, in their order; the second is active. */
  readonly keyIds: readonly [first: string, second: string]
  storedOf(place: Place): Promise<readonly StoredValue[]>
  /** What the API server's own code makes of every object of a resource. */
  apiServerView(place: Place): Promise<readonly Viewed[]>
}

/** Has a real kube-apiserver write an object of each resource in plaintext, and under each key. */
export async function startEveryProvider(ground: Ground): Promise<EveryProvider> {
  const cluster = await startEncryptedCluster(ground, {
    providers: () => [identityProvider],
    flags: ['--feature-gates=KMSv1=true'],
  })
  const { admin } = cluster.server
  await defineWidgets(admin)
  const createAll = async (name: string): Promise<void> => {
    for (const place of everyResource) await create(cluster, place, name)
  }
  await createAll('plain')
  const { socket } = cluster.plugin
  const rule = (place: Place, provider: Provider) => ({
    resources: [place],
    providers: [provider, identityProvider],
  })
  await cluster.server.stop()
  await writeEncryptionConfig(cluster.config, [
    rule('secrets', kmsProvider(socket)),
    rule('configmaps', localProvider('secretbox')),
    rule('podtemplates', localProvider('aesgcm')),
    rule('limitranges', kmsV1Provider(socket)),
    rule('widgets.test.latchkey.dev', localProvider('aescbc')),
  ])
  await cluster.server.start()
  const first = await cluster.keyring.active()
  await createAll('first')
  await cluster.keyring.stage()
  const second = await cluster.keyring.activate()
  await until(
    'a Secret under the second key',
    async () => {
      const name = `probe-${performance.now().toFixed(0)}`
      await create(cluster, 'secrets', name)
      return (await cluster.stored(`secrets/default/${name}`)).keyId === second
    },
    { timeoutMs: 90_000, everyMs: 1000 },
  )
  await createAll('second')
  const storedOf = async (place: Place): Promise<readonly StoredValue[]> =>
    await cluster.etcd.client.list(everyPlace[place].at)
  return {
    cluster,
    keyIds: [first, second],
    storedOf,
    apiServerView: async (place) => {
      const stored = await storedOf(place)
      const requests = stored.map(({ key, value }) => ({ op: 'read' as const, key, value }))
      const read = await transform(ground, { config: cluster.config, resource: place }, requests)
      return stored.map((it, index) => ({ stored: it, read: read[index] ?? { error: 'missing' } }))
    },
  }
}

async function create(cluster: EncryptedCluster, place: Place, name: string): Promise<void> {
  const { path } = everyPlace[place]
  const { admin } = cluster.server
  if (path === widgets) {
    await admin.create(path, widget(name, everyValue))
    return
  }
  const fields: Readonly<Record<string, object>> = {
    secrets: { stringData: { value: everyValue } },
    configmaps: { data: { value: everyValue } },
    podtemplates: {
      template: { spec: { containers: [{ name: 'c', image: everyValue.toLowerCase() }] } },
    },
    limitranges: { spec: { limits: [{ type: 'Pod', max: { cpu: '1' } }] } },
  }
  await admin.create(path, { metadata: { name }, ...fields[place] })
}
