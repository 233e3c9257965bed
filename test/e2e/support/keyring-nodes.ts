import type { ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { etcdPlace, type KeyringPlace } from './control-planes.ts'
import { startEtcd, type Etcd } from './etcd.ts'
import type { Ground } from './ground.ts'
import { connectKms, type KmsClient } from './kms-client.ts'
import { type KmsPlugin, startKmsPlugin } from './kms-plugin.ts'
import { ourProgram } from './our-program.ts'
import { runProgram, type Ran } from './run-program.ts'
import { until } from './until.ts'

/** What `latchkey keys nodes -o json` prints. */
export interface Nodes {
  readonly generation: number
  readonly nodes: readonly {
    readonly name: string
    readonly alive: boolean
    readonly current: boolean
    readonly acknowledged: { readonly generation: number } | null
  }[]
}

/** Three plugins, `cp-1` to `cp-3`, on a keyring in an etcd of three members, and no API server. */
export interface KeyringNodes {
  readonly names: readonly string[]
  readonly etcd: Etcd
  readonly place: KeyringPlace
  /** Value of `--root`. */
  readonly root: string
  readonly plugins: readonly KmsPlugin[]
  readonly sockets: readonly KmsClient[]
  /** Flags that name the keyring. */
  readonly where: readonly string[]
  latchkey(args: readonly string[]): Promise<Ran>
  /** `latchkey keys …` of this keyring and root. */
  keys(...args: readonly string[]): Promise<Ran>
  nodes(): Promise<Nodes>
  /** Waits until each node is alive and has acknowledged what is current. */
  allCurrent(): Promise<void>
  /** The key id in each plugin's Status. */
  keyIds(): Promise<readonly string[]>
  /** Waits until each plugin encrypts with this key. */
  everywhere(keyId: string): Promise<void>
  /** Everybody opens what everybody encrypts. */
  understandEachOther(t: ExecutionContext): Promise<void>
}

/** For what takes three programs and their timers a moment. */
export const patience = { timeoutMs: 60_000, everyMs: 200 } as const

/** Starts them with a new keyring. */
export async function startKeyringNodes(ground: Ground): Promise<KeyringNodes> {
  const names = ['cp-1', 'cp-2', 'cp-3'] as const
  const etcd = await startEtcd(ground, { members: 3 })
  const place = etcdPlace(etcd)
  const root = `file:${join(ground.dir, 'root.key')}`
  const where = ['--keyring', place.keyring, ...place.flags]
  const latchkey = async (args: readonly string[]): Promise<Ran> => {
    const { command, script } = await ourProgram(ground, 'latchkey')
    return await runProgram(ground, { command, args: [script, ...args] })
  }
  const keys = async (...args: readonly string[]): Promise<Ran> =>
    await latchkey(['keys', ...args, ...where, '--root', root])
  const made = await keys('init', '--cluster-id', 'e2e')
  if (made.code !== 0) throw new Error(made.stderr)
  const plugins: KmsPlugin[] = []
  const sockets: KmsClient[] = []
  for (const [index, name] of names.entries()) {
    const dir = join(ground.dir, name)
    await mkdir(dir, { mode: 0o700 })
    // The third knows one member alone: without that one it is cut off, and the others are not.
    const alone = etcd.endpoints[index]?.replace('https://', '') ?? ''
    const keyring = name === 'cp-3' ? `etcd:https://${alone}/latchkey` : place.keyring
    const socket = join(dir, 'kms.sock')
    plugins.push(
      await startKmsPlugin(ground, {
        name: `latchkey-kms-${index + 1}`,
        keyring: { dir: keyring, root },
        socket,
        metrics: `${ground.host(200 + index)}:9464`,
        flags: [...place.flags, ...place.nodeFlags({ name, dir })],
      }),
    )
    const kms = await connectKms(socket)
    ground.defer(`calls of ${name}`, () => {
      kms.close()
    })
    sockets.push(kms)
  }
  const nodes = async (): Promise<Nodes> => {
    const { code, stdout, stderr } = await latchkey(['keys', 'nodes', '-o', 'json', ...where])
    if (code !== 0) throw new Error(stderr)
    return JSON.parse(stdout) as Nodes
  }
  const areCurrent = async (): Promise<boolean> => {
    const listed = (await nodes()).nodes
    return listed.length === 3 && listed.every(({ alive, current }) => alive && current)
  }
  const keyIds = async (): Promise<readonly string[]> =>
    await Promise.all(sockets.map(async (kms) => (await kms.status()).keyId))
  return {
    ...{ names, etcd, place, root, plugins, sockets, where, latchkey, keys, nodes, keyIds },
    allCurrent: async () => {
      await until('all to be current', areCurrent, patience)
    },
    everywhere: async (keyId) => {
      const isEverywhere = async (): Promise<boolean> =>
        (await keyIds()).every((id) => id === keyId)
      await until('the new key everywhere', isEverywhere, patience)
    },
    understandEachOther: async (t) => {
      const seed = randomBytes(32)
      for (const one of sockets) {
        const sealed = await one.encrypt(seed)
        for (const other of sockets) t.deepEqual(await other.decrypt(sealed), seed)
      }
    },
  }
}

/** Whether a plugin's metrics tell a finding. */
export async function finds(plugin: KmsPlugin | undefined, name: string): Promise<boolean> {
  return ((await plugin?.metrics()) ?? '').includes(`latchkey_kms_finding{name="${name}"`)
}

/** What a command prints that must succeed. */
export async function ok(t: ExecutionContext, ran: Promise<Ran>): Promise<string> {
  const { code, stdout, stderr } = await ran
  t.is(code, 0, stderr)
  return stdout.trim()
}
