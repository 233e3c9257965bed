import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type ApiServer, startApiServer } from './api-server.ts'
import { type Child, startChild } from './child.ts'
import { type ClusterIdentity, createClusterIdentity } from './cluster-identity.ts'
import { identityProvider, kmsProvider, writeEncryptionConfig } from './encryption-config.ts'
import { type Etcd, startEtcd } from './etcd.ts'
import type { Ground } from './ground.ts'
import { type KmsPlugin, startKmsPlugin } from './kms-plugin.ts'
import { ourProgram } from './our-program.ts'
import { type Ran, runProgram } from './run-program.ts'

/** One machine of a control plane: our plugin, and the API server that it serves. */
export interface ControlPlane {
  /** Host name and name of the member, as `cp-1`. */
  readonly name: string
  /** What a node keeps to itself. */
  readonly dir: string
  readonly socket: string
  readonly plugin: KmsPlugin
  readonly server: ApiServer
}

/** A cluster of several control planes on one etcd of as many members. */
export interface ControlPlanes {
  readonly etcd: Etcd
  readonly identity: ClusterIdentity
  readonly nodes: readonly ControlPlane[]
  /** Flags that name the keyring, as every command of ours takes them. */
  readonly keyring: readonly string[]
  /** Flags that name etcd, as the commands that read it take them. */
  readonly etcdFlags: readonly string[]
  /** Path of the EncryptionConfiguration that all API servers read. */
  readonly config: string
  /** Runs `latchkey` from the release to its end. */
  latchkey(args: readonly string[], options?: { readonly timeoutMs?: number }): Promise<Ran>
  /** Starts `latchkey` and leaves it running. */
  startLatchkey(name: string, args: readonly string[]): Promise<Child>
}

/** How the keyring of a cluster is made and reached. */
export interface KeyringPlace {
  /** Value of `--keyring`. */
  readonly keyring: string
  /** Further flags that every program of ours needs to reach it. */
  readonly flags: readonly string[]
  /** Further flags of the plugin on node `name`, whose own directory is `dir`. */
  readonly nodeFlags: (node: { readonly name: string; readonly dir: string }) => readonly string[]
}

/** Options of {@link startControlPlanes}. */
export interface ControlPlanesOptions {
  /** How many; default 3. */
  readonly count?: number
  /** Default: Secrets and ConfigMaps. */
  readonly resources?: readonly string[]
  /** Flags for every API server. */
  readonly flags?: readonly string[]
  /** Where the keyring is, once etcd runs. Default: in that etcd. */
  readonly place?: (etcd: Etcd, ground: Ground) => KeyringPlace
}

/** A keyring in the cluster's own etcd, each node with its local copy. */
export function etcdPlace(etcd: Etcd): KeyringPlace {
  const { ca, cert, key } = etcd.clientFiles
  const hosts = etcd.endpoints.map((endpoint) => endpoint.replace('https://', ''))
  return {
    keyring: `etcd:https://${hosts.join(',')}/latchkey`,
    flags: ['--etcd-ca', ca, '--etcd-cert', cert, '--etcd-key', key],
    nodeFlags: ({ name, dir }) => ['--node-name', name, '--local-copy', join(dir, 'keyring')],
  }
}

/** Starts everything and returns when every API server is ready. */
export async function startControlPlanes(
  ground: Ground,
  options: ControlPlanesOptions = {},
): Promise<ControlPlanes> {
  const count = options.count ?? 3
  const [etcd, identity, program] = await Promise.all([
    startEtcd(ground, { members: count }),
    createClusterIdentity(ground),
    ourProgram(ground, 'latchkey', 'release'),
  ])
  const place = (options.place ?? etcdPlace)(etcd, ground)
  const root = `file:${join(ground.dir, 'root.key')}`
  const keyring = ['--keyring', place.keyring, '--root', root, ...place.flags]
  const latchkey: ControlPlanes['latchkey'] = async (args, { timeoutMs = 180_000 } = {}) =>
    await runProgram(ground, {
      command: program.command,
      args: [program.script, ...args],
      timeoutMs,
    })
  const made = await latchkey(['keys', 'init', '--cluster-id', 'e2e', ...keyring])
  if (made.code !== 0) throw new Error(`keys init: ${made.stderr}`)

  const config = join(ground.dir, 'encryption.yaml')
  const nodes = Array.from({ length: count }, (_, index) => ({
    number: index + 1,
    name: `cp-${index + 1}`,
    dir: join(ground.dir, `cp-${index + 1}`),
  }))
  const control = await Promise.all(
    nodes.map(async ({ number, name, dir }): Promise<ControlPlane> => {
      await mkdir(dir, { mode: 0o700 })
      const socket = join(dir, 'kms.sock')
      const plugin = await startKmsPlugin(ground, {
        name: `latchkey-kms-${number}`,
        keyring: { dir: place.keyring, root },
        socket,
        metrics: `${ground.host(200 + number)}:9464`,
        origin: 'release',
        flags: [...place.flags, ...place.nodeFlags({ name, dir })],
      })
      // One file for all would name one socket for all.
      const own = `${config}.${name}`
      await writeEncryptionConfig(own, [
        {
          resources: options.resources ?? ['secrets', 'configmaps'],
          providers: [kmsProvider(socket), identityProvider],
        },
      ])
      const server = await startApiServer(ground, {
        etcd,
        identity,
        number,
        hostname: name,
        encryptionConfig: own,
        flags: options.flags ?? [],
      })
      return { name, dir, socket, plugin, server }
    }),
  )
  return {
    etcd,
    identity,
    nodes: control,
    keyring,
    etcdFlags: etcdFlags(etcd),
    config: `${config}.cp-1`,
    latchkey,
    startLatchkey: async (name, args) =>
      startChild(ground, {
        name,
        command: program.command,
        args: [program.script, ...args],
      }),
  }
}

function etcdFlags({ endpoints, clientFiles }: Etcd): readonly string[] {
  const { ca, cert, key } = clientFiles
  return [
    ...endpoints.flatMap((endpoint) => ['--etcd', endpoint]),
    ...['--etcd-ca', ca, '--etcd-cert', cert, '--etcd-key', key],
  ]
}
