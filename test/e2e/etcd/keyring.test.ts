import test, { type ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../../src/base/clock.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import { systemDisk } from '../../../src/clients/disk.ts'
import type { EtcdClient } from '../../../src/clients/etcd/client.ts'
import { openEtcd } from '../../../src/clients/etcd/open.ts'
import { amendKeyring } from '../../../src/keyring/generations.ts'
import { loadRevision, markOfDocument } from '../../../src/keyring/load.ts'
import { openRoot } from '../../../src/keyring/roots/open.ts'
import { openStore } from '../../../src/keyring/stores/open.ts'
import { etcdPlace, type KeyringPlace } from '../support/control-planes.ts'
import { etcdAccess } from '../support/etcd-access.ts'
import { startEtcd, type Etcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { connectKms, type KmsClient } from '../support/kms-client.ts'
import { type KmsPlugin, startKmsPlugin } from '../support/kms-plugin.ts'
import { ourProgram } from '../support/our-program.ts'
import { runProgram, type Ran } from '../support/run-program.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const random = createRandomPool()
const names = ['cp-1', 'cp-2', 'cp-3'] as const

let etcd: Etcd
let place: KeyringPlace
let root: string
let client: EtcdClient
const plugins: KmsPlugin[] = []
const sockets: KmsClient[] = []

interface Nodes {
  readonly generation: number
  readonly nodes: readonly {
    readonly name: string
    readonly alive: boolean
    readonly current: boolean
    readonly acknowledged: { readonly generation: number } | null
  }[]
}

test.before('three plugins on a keyring in an etcd of three members', async () => {
  etcd = await startEtcd(ground, { members: 3 })
  place = etcdPlace(etcd)
  root = `file:${join(ground.dir, 'root.key')}`
  client = await openEtcd(etcdAccess(etcd), { clock: systemClock, random })
  ground.defer('client', () => {
    client.close()
  })
  const made = await keys('init', '--cluster-id', 'e2e')
  if (made.code !== 0) throw new Error(made.stderr)
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
})

async function latchkey(args: readonly string[]): Promise<Ran> {
  const { command, script } = await ourProgram(ground, 'latchkey')
  return await runProgram(ground, { command, args: [script, ...args] })
}

const where = (): readonly string[] => ['--keyring', place.keyring, ...place.flags]
const keys = async (...args: readonly string[]): Promise<Ran> =>
  await latchkey(['keys', ...args, ...where(), '--root', root])

async function ok(t: ExecutionContext, ran: Promise<Ran>): Promise<string> {
  const { code, stdout, stderr } = await ran
  t.is(code, 0, stderr)
  return stdout.trim()
}

async function nodes(): Promise<Nodes> {
  const { code, stdout, stderr } = await latchkey(['keys', 'nodes', '-o', 'json', ...where()])
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as Nodes
}

async function allCurrent(): Promise<boolean> {
  const listed = (await nodes()).nodes
  return listed.length === 3 && listed.every(({ alive, current }) => alive && current)
}

const patience = { timeoutMs: 60_000, everyMs: 200 }
const finding = (name: string): RegExp => new RegExp(`latchkey_kms_finding\\{name="${name}"`)

const finds = async (plugin: KmsPlugin | undefined, name: string): Promise<boolean> =>
  finding(name).test((await plugin?.metrics()) ?? '')

const keyIds = async (): Promise<readonly string[]> =>
  await Promise.all(sockets.map(async (kms) => (await kms.status()).keyId))

/** Everybody opens what everybody encrypts. */
async function understandEachOther(t: ExecutionContext): Promise<void> {
  const seed = randomBytes(32)
  for (const one of sockets) {
    const sealed = await one.encrypt(seed)
    for (const other of sockets) t.deepEqual(await other.decrypt(sealed), seed)
  }
}

test.serial('each has joined, is alive, and has said what it serves', async (t) => {
  await until('all to be current', allCurrent, patience)
  const table = await ok(t, latchkey(['keys', 'nodes', ...where()]))
  t.regex(table, /^NODE +ALIVE +GENERATION +CURRENT/)
  for (const name of names) t.regex(table, new RegExp(`^${name} +yes +1 +yes`, 'm'))
  await understandEachOther(t)
})

test.serial('a publication is acknowledged by all within a moment', async (t) => {
  const flags = {
    etcdCa: etcd.clientFiles.ca,
    etcdCert: etcd.clientFiles.cert,
    etcdKey: etcd.clientFiles.key,
  }
  const deps = { disk: systemDisk, random, uid: process.getuid?.() ?? 0, cwd: ground.dir }
  const store = await openStore(place.keyring, deps, { etcd: flags })
  ground.defer('store', () => store.close?.())
  const opened = await openRoot(root, {
    ...deps,
    credentialsDirectory: undefined,
    warn: () => undefined,
  })
  const times: number[] = []
  for (let round = 0; round < 10; round += 1) {
    const { keyring, revision } = await loadRevision(store, { roots: [opened], mark: undefined })
    const next = amendKeyring(keyring, { createdAt: '2026-01-02T03:04:05Z' })
    keyring[Symbol.dispose]()
    const { digest } = markOfDocument(next.bytes)
    await store.publish(next.bytes, { replaces: revision })
    const since = performance.now()
    await until(
      'all to acknowledge',
      async () => {
        const { members } = (await store.members?.list()) ?? { members: [] }
        return members.length === 3 && members.every((it) => it.acknowledged?.digest === digest)
      },
      { timeoutMs: 30_000, everyMs: 5 },
    )
    times.push(performance.now() - since)
  }
  times.sort((a, b) => a - b)
  t.log(
    `from publication to the last of three acknowledgements: median ${Math.round(times[5] ?? 0)} ms, longest ${Math.round(times[9] ?? 0)} ms of ${times.length}`,
  )
  t.pass()
})

test.serial('a node that was killed blocks, alive or not, and its return lets go on', async (t) => {
  await plugins[2]?.stop('at once')
  const staged = await ok(t, keys('stage'))
  const refused = await keys('activate')
  t.is(refused.code, 3)
  t.regex(refused.stderr, /cp-3/)
  t.notRegex(refused.stderr, /cp-[12] /)
  await until('its sign of life to run out', async () => !(await nodes()).nodes[2]?.alive, patience)
  const still = await keys('activate')
  t.is(still.code, 3)
  t.regex(still.stderr, /cp-3 \(not alive/)
  for (const kms of sockets.slice(0, 2)) t.not((await kms.status()).keyId, staged)
  await plugins[2]?.start()
  await until('all to be current', allCurrent, patience)
  t.is(await ok(t, keys('activate')), staged)
  await until(
    'the new key everywhere',
    async () => (await keyIds()).every((id) => id === staged),
    patience,
  )
  await understandEachOther(t)
})

test.serial(
  'a node that is cut off goes on with its key, and nobody uses one that it lacks',
  async (t) => {
    await until('all to be current', allCurrent, patience)
    const before = await keyIds()
    await etcd.members[2]?.stop('at once')
    await until('it to be noticed', async () => await finds(plugins[2], 'unconfirmed'), patience)
    await ok(t, keys('stage'))
    const refused = await keys('activate')
    t.is(refused.code, 3)
    t.regex(refused.stderr, /cp-3/)
    t.deepEqual(await keyIds(), before)
    await understandEachOther(t)
    await etcd.members[2]?.start()
    await until('all to be current', allCurrent, patience)
    t.false(await finds(plugins[2], 'unconfirmed'))
    const active = await ok(t, keys('activate'))
    await until(
      'the new key everywhere',
      async () => (await keyIds()).every((id) => id === active),
      patience,
    )
  },
)

test.serial(
  'nodes that boot without etcd serve what they served, and say that it is unconfirmed',
  async (t) => {
    await until('all to be current', allCurrent, patience)
    const before = await keyIds()
    for (const member of etcd.members) await member.stop('at once')
    for (const plugin of plugins) await plugin.stop('at once')
    for (const plugin of plugins) await plugin.start()
    t.deepEqual(await keyIds(), before)
    await understandEachOther(t)
    for (const plugin of plugins) {
      await until('it to be said', async () => await finds(plugin, 'unconfirmed'), patience)
      t.regex(plugin.child().stderr(), /kms\.local_copy_served/)
    }
    await Promise.all(etcd.members.map((member) => member.start()))
    for (const plugin of plugins) {
      await until('etcd to confirm it', async () => !(await finds(plugin, 'unconfirmed')), patience)
    }
    await until('all to be current', allCurrent, patience)
  },
)

test.serial(
  'an etcd that is taken back is refused, also by a node that boots, until adopt mends it',
  async (t) => {
    const older = (await client.range('/latchkey/keyring')).entries[0]?.value
    if (older === undefined) return t.fail()
    await ok(t, keys('stage'))
    await until('all to be current', allCurrent, patience)
    const newest = (await nodes()).generation
    const active = await ok(t, keys('activate'))
    await until(
      'the new key everywhere',
      async () => (await keyIds()).every((id) => id === active),
      patience,
    )
    await until('all to be current', allCurrent, patience)
    // What a restored snapshot holds.
    await client.put('/latchkey/keyring', older)
    for (const plugin of plugins) {
      await until('it to be refused', async () => await finds(plugin, 'keyring-refused'), patience)
    }
    await plugins[0]?.stop('at once')
    await plugins[0]?.start()
    t.true((await keyIds()).every((id) => id === active))
    await understandEachOther(t)
    const copy = join(ground.dir, 'cp-1', 'keyring')
    await ok(t, keys('adopt', '--from', copy, '--yes'))
    await until('all to be current', allCurrent, patience)
    t.true((await nodes()).generation > newest + 1)
    t.true((await keyIds()).every((id) => id !== ''))
    await understandEachOther(t)
    for (const plugin of plugins) t.false(await finds(plugin, 'keyring-refused'))
  },
)

test.serial('a node is taken out once it is not alive, and never before', async (t) => {
  const alive = await latchkey(['keys', 'nodes', 'remove', 'cp-2', '--yes', ...where()])
  t.is(alive.code, 1)
  t.regex(alive.stderr, /is alive/)
  await plugins[1]?.stop()
  await ok(t, latchkey(['keys', 'nodes', 'remove', 'cp-2', '--yes', ...where()]))
  t.deepEqual(
    (await nodes()).nodes.map(({ name }) => name),
    ['cp-1', 'cp-3'],
  )
  const unknown = await latchkey(['keys', 'nodes', 'remove', 'cp-9', '--yes', ...where()])
  t.regex(unknown.stderr, /there is no node cp-9/)
  await plugins[1]?.start()
  await until('it to join again', allCurrent, patience)
})

test.serial('a keyring is copied to a directory and back, to the byte', async (t) => {
  const directory = join(ground.dir, 'exported')
  await ok(t, keys('export', '--to', directory))
  const listed = (place: readonly string[]): Promise<string> =>
    ok(t, latchkey(['keys', 'list', '-o', 'json', ...place, '--root', root]))
  t.is(await listed(['--keyring', directory]), await listed(where()))
  const again = await keys('import', '--from', directory)
  t.is(again.code, 3, 'there is one already')
  const other = place.keyring.replace('/latchkey', '/other')
  await ok(
    t,
    latchkey([
      'keys',
      'import',
      '--from',
      directory,
      '--keyring',
      other,
      ...place.flags,
      '--root',
      root,
    ]),
  )
  t.is(await listed(['--keyring', other, ...place.flags]), await listed(where()))
})
