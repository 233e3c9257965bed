import { join } from 'node:path'
import { type ApiServer, type ApiServerOptions, startApiServer } from './api-server.ts'
import { type ClusterIdentity, createClusterIdentity } from './cluster-identity.ts'
import {
  identityProvider,
  kmsProvider,
  type Provider,
  writeEncryptionConfig,
} from './encryption-config.ts'
import { type Etcd, startEtcd } from './etcd.ts'
import type { Ground } from './ground.ts'
import { type Keyring, createKeyring } from './keyring.ts'
import { type KmsPlugin, type KmsPluginOptions, socketPath, startKmsPlugin } from './kms-plugin.ts'
import { readStoredObject, type StoredObject } from './stored-object.ts'

/** etcd, a keyring, our plugin, and an API server that encrypts with it. */
export interface EncryptedCluster<Plugin = KmsPlugin> {
  readonly etcd: Etcd
  readonly identity: ClusterIdentity
  readonly keyring: Keyring
  readonly plugin: Plugin
  readonly server: ApiServer
  /** Path of the EncryptionConfiguration. */
  readonly config: string
  /** What etcd holds under a key, below `/registry/`; an error when it is not encrypted by KMS v2. */
  stored(key: string): Promise<StoredObject & { readonly revision: number; readonly raw: Buffer }>
}

/** Options of {@link startEncryptedCluster}. */
export interface EncryptedClusterOptions<Plugin> {
  /** Default: Secrets and ConfigMaps. */
  readonly resources?: readonly string[]
  readonly program?: ApiServerOptions['program']
  /** Default: our plugin, version 2, and then identity. */
  readonly providers?: (socket: string) => readonly Provider[]
  /** Made here unless it is given. */
  readonly identity?: ClusterIdentity
  /** Started here unless it is given. */
  readonly etcd?: Etcd
  /** Flags for the API server. */
  readonly flags?: readonly string[]
  /** Where the API server is; see there. */
  readonly at?: Pick<ApiServerOptions, 'host' | 'alsoKnownAs'>
  /** Where the plugin comes from. Default: the checkout. */
  readonly origin?: KmsPluginOptions['origin']
  /** Default: the plugin makes its own socket. */
  readonly startPlugin?: (ground: Ground, options: KmsPluginOptions) => Promise<Plugin>
}

/** Starts everything and returns when the API server is ready. */
export async function startEncryptedCluster<Plugin = KmsPlugin>(
  ground: Ground,
  options: EncryptedClusterOptions<Plugin> = {},
): Promise<EncryptedCluster<Plugin>> {
  const startPlugin = (options.startPlugin ?? startKmsPlugin) as NonNullable<
    typeof options.startPlugin
  >
  const config = join(ground.dir, 'encryption.yaml')
  const socket = socketPath(ground)
  const [etcd, identity, keyring] = await Promise.all([
    options.etcd ?? startEtcd(ground),
    options.identity ?? createClusterIdentity(ground),
    createKeyring(ground),
  ])
  const plugin = await startPlugin(ground, {
    keyring,
    socket,
    metrics: `${ground.host(200)}:9464`,
    ...(options.origin === undefined ? {} : { origin: options.origin }),
  })
  await writeEncryptionConfig(config, [
    {
      resources: options.resources ?? ['secrets', 'configmaps'],
      providers: options.providers?.(socket) ?? [kmsProvider(socket), identityProvider],
    },
  ])
  const server = await startApiServer(ground, {
    etcd,
    identity,
    encryptionConfig: config,
    ...options.at,
    ...(options.program === undefined ? {} : { program: options.program }),
    ...(options.flags === undefined ? {} : { flags: options.flags }),
  })
  return {
    etcd,
    identity,
    keyring,
    plugin,
    server,
    config,
    stored: async (key) => {
      const found = await etcd.client.get(`/registry/${key}`)
      if (found === undefined) throw new Error(`etcd has no ${key}`)
      const object = readStoredObject(found.value)
      if (object === undefined) throw new Error(`${key} is not encrypted by KMS v2`)
      return { ...object, revision: found.modRevision, raw: found.value }
    },
  }
}
