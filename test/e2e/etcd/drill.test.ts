import test from 'ava'
import { chmod, copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { binary } from '../support/binaries.ts'
import { runLatchkey } from '../support/cli.ts'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { saveSnapshot } from '../support/etcdctl.ts'
import { useGround } from '../support/ground.ts'
import { latchkey } from '../support/keyring.ts'
import { collection, type KubernetesObject } from '../support/kubernetes.ts'
import { command } from '../support/our-program.ts'
import { runOk } from '../support/run-program.ts'
import { until } from '../support/until.ts'
import { fencedBlocks } from '../../support/markdown.ts'
import { type Digests, digestsExtracted, digestsInCluster, sha256 } from './digests.ts'

// deploy/everything-lost.md, run as it stands: from a snapshot, a backup and its passphrase alone.

const ground = useGround(test)
const guide = join(import.meta.dirname, '..', '..', '..', 'deploy', 'everything-lost.md')
/** Where the drill is held; what is kept in safe places lies beside it. */
const drill = join(ground.dir, 'drill')
const safe = join(ground.dir, 'safe')

type Moment = 'before' | 'during' | 'after'
const moments: readonly Moment[] = ['before', 'during', 'after']
/** What every Secret held when the snapshot was taken, by namespace and name. */
const expected: Record<Moment, ReadonlyMap<string, Digests>> = {
  before: new Map(),
  during: new Map(),
  after: new Map(),
}

let cluster: EncryptedCluster
let [first, second] = ['', '']

const secretsIn = (namespace: string): string => collection('v1', 'secrets', namespace)

async function createSecret(namespace: string, name: string, bytes: number): Promise<void> {
  await cluster.server.admin.create(secretsIn(namespace), {
    metadata: { name, labels: { app: 'drill' } },
    data: {
      password: randomBytes(bytes).toString('base64'),
      'config.yaml': Buffer.from(`name: ${name}\n`).toString('base64'),
    },
  })
}

async function allSecrets(): Promise<readonly KubernetesObject[]> {
  return (await cluster.server.admin.list(collection('v1', 'secrets'))).items
}

async function keep(moment: Moment): Promise<void> {
  expected[moment] = await digestsInCluster(cluster.server.admin)
  await copyFile(
    await saveSnapshot(ground, cluster.etcd, `${moment}.db`),
    join(safe, `${moment}.db`),
  )
  const { dir, root } = cluster.keyring
  await latchkey(ground, [
    ...['keys', 'backup', '--keyring', dir, '--root', root],
    ...['--out', join(safe, `${moment}.backup`), '--passphrase-file', join(safe, 'passphrase')],
  ])
}

test.before(async () => {
  await mkdir(safe, { mode: 0o700 })
  await mkdir(drill, { mode: 0o700 })
  await writeFile(join(safe, 'passphrase'), 'kept apart from the backup', { mode: 0o600 })
  cluster = await startEncryptedCluster(ground, { resources: ['secrets'] })
  const { admin } = cluster.server
  await admin.create(collection('v1', 'namespaces'), { metadata: { name: 'shop' } })
  first = await cluster.keyring.active()
  await createSecret('shop', 'db', 24)
  await createSecret('shop', 'large', 700_000)
  await createSecret('default', 'old', 24)
  await keep('before')
  await cluster.keyring.stage()
  second = await cluster.keyring.activate()
  await until(
    'a Secret under the second key',
    async () => {
      const name = `new-${Math.round(performance.now())}`
      await createSecret('shop', name, 24)
      return (await cluster.stored(`secrets/shop/${name}`)).keyId === second
    },
    { timeoutMs: 90_000, everyMs: 1000 },
  )
  await keep('during')
  for (const { metadata } of await allSecrets()) {
    await admin.patch(secretsIn(metadata.namespace ?? ''), metadata.name, {})
  }
  await cluster.keyring.retire(first)
  await cluster.keyring.destroy(first)
  await keep('after')

  await cluster.server.stop()
  await cluster.plugin.stop()
  await cluster.etcd.members[0]?.stop()
  for (const lost of [
    'etcd/etcd-1',
    'keyring',
    'keyring.root',
    ...moments.map((it) => `${it}.db`),
  ]) {
    await rm(join(ground.dir, lost), { recursive: true })
  }
})

/** The options for the pair of a snapshot of one moment and a backup of another. */
function pair(snapshot: Moment, backup: Moment): readonly string[] {
  return [
    ...['--snapshot', join(safe, `${snapshot}.db`), '--backup', join(safe, `${backup}.backup`)],
    ...['--passphrase-file', join(safe, 'passphrase')],
  ]
}

test.serial('each snapshot comes out byte for byte with the right backup', async (t) => {
  for (const [snapshot, backup] of [
    ['before', 'before'],
    ['before', 'during'],
    ['during', 'during'],
    ['after', 'during'],
    ['after', 'after'],
  ] as const) {
    const out = join(drill, `${snapshot}-${backup}`)
    const args = [...pair(snapshot, backup), '--out', out, '/registry/secrets/']
    const { code, stderr } = await runLatchkey(ground, ['etcd', 'decrypt', ...args])
    t.is(code, 0, stderr)
    const found = await digestsExtracted(out)
    t.true(found.size >= 3)
    t.deepEqual(found, expected[snapshot], out)
    await rm(out, { recursive: true })
  }
})

test.serial('a backup that lacks a key is recognised beforehand, with what it lacks', async (t) => {
  for (const [snapshot, backup, lacking] of [
    ['during', 'before', second],
    ['after', 'before', second],
    ['before', 'after', first],
    ['during', 'after', first],
  ] as const) {
    const check = await runLatchkey(ground, [
      ...['keys', 'backup', '--check', join(safe, `${snapshot}.db`)],
      ...['--from', join(safe, `${backup}.backup`), '-o', 'json'],
      ...['--passphrase-file', join(safe, 'passphrase')],
    ])
    t.is(check.code, 3, check.stderr)
    t.regex(check.stderr, new RegExp(`lacking: ${lacking}, needed by \\d+ object`))
    const { keys } = JSON.parse(check.stdout) as {
      keys: { keyId: string; objects: number; backup: string }[]
    }
    const missing = keys.filter((key) => key.backup !== 'held')
    t.deepEqual(
      missing.map(({ keyId }) => keyId),
      [lacking],
    )

    const out = join(drill, 'partly')
    const args = [...pair(snapshot, backup), '--out', out, '/registry/secrets/']
    const { code, stderr } = await runLatchkey(ground, ['etcd', 'decrypt', ...args])
    t.is(code, 4)
    t.true(stderr.includes(`(ERR_KEY_${backup === 'after' ? 'DESTROYED' : 'UNKNOWN'})`), stderr)
    const written = (await readFile(join(out, 'index.jsonl'), 'utf8')).split('\n').length - 1
    t.is(written, expected[snapshot].size - (missing[0]?.objects ?? 0))
    await rm(out, { recursive: true })
  }
})

/** The guide's commands under a heading, with the places of its machine where the test has them. */
async function commandsOf(heading: RegExp): Promise<string> {
  const text = await readFile(guide, 'utf8')
  const chapter = text.split(/^## /m).find((part) => heading.test(part))
  const blocks = fencedBlocks(chapter ?? '').filter(({ language }) => language === 'sh')
  if (blocks.length === 0) throw new Error(`the guide has no commands under ${String(heading)}`)
  const { keyring, etcd } = cluster
  const peer = (etcd.endpoints[0] ?? '').replace(/2379$/, '2380')
  return blocks
    .map((block) => block.text)
    .join('')
    .replaceAll('/var/lib/etcd', join(ground.dir, 'etcd', 'etcd-1'))
    .replaceAll('/var/lib/latchkey/keyring', keyring.dir)
    .replaceAll('file:/etc/latchkey/root.key', keyring.root)
    .replaceAll('https://192.0.2.10:2380', peer)
    .replaceAll('cp-1', 'etcd-1')
}

/** Runs commands in the directory of the drill, where only the three things are. */
async function run(script: string): Promise<string> {
  const bin = join(ground.dir, 'bin')
  await mkdir(bin, { recursive: true })
  await writeFile(
    join(bin, 'latchkey'),
    `#!/bin/sh\nexec '${process.execPath}' '${command('latchkey')}' "$@"\n`,
  )
  await chmod(join(bin, 'latchkey'), 0o755)
  const tools = [await binary('kubectl'), await binary('etcdutl')].map(dirname)
  return await runOk(ground, {
    command: '/bin/bash',
    args: ['-euo', 'pipefail', '-c', `cd '${drill}'\n${script}`],
    env: {
      PATH: [bin, ...tools, '/usr/bin', '/bin'].join(':'),
      KUBECONFIG: cluster.server.kubeconfig,
    },
    timeoutMs: 120_000,
  })
}

test.serial('the guide: the pair fits, and one Secret is there at once', async (t) => {
  await copyFile(join(safe, 'during.db'), join(drill, 'snapshot.db'))
  await copyFile(join(safe, 'during.backup'), join(drill, 'backup.latchkey'))
  await copyFile(join(safe, 'passphrase'), join(drill, 'backup.passphrase'))
  await chmod(join(drill, 'backup.passphrase'), 0o600)
  const fits = await run(await commandsOf(/^1\. /))
  t.true(fits.includes(first) && fits.includes(second))
  const shown = await run(await commandsOf(/^2\. /))
  const inBase64 = /"password": "([^"]+)"/.exec(shown)?.[1] ?? ''
  t.is(expected.during.get('shop/db')?.['password'], sha256(Buffer.from(inBase64, 'base64')))
  t.deepEqual((await readdir(drill)).sort(), [
    'backup.latchkey',
    'backup.passphrase',
    'snapshot.db',
  ])
})

test.serial('the guide: all Secrets go into another, new cluster', async (t) => {
  await latchkey(ground, [
    ...['keys', 'init', '--keyring', cluster.keyring.dir, '--root', cluster.keyring.root],
  ])
  await cluster.etcd.members[0]?.start()
  await cluster.plugin.start()
  await cluster.server.start()
  t.is((await allSecrets()).length, 0)
  await run(await commandsOf(/^3\. /))
  t.deepEqual(await digestsInCluster(cluster.server.admin), expected.during)
  t.false((await readdir(drill)).includes('recovered'))
  await cluster.server.stop()
  await cluster.plugin.stop()
  await cluster.etcd.members[0]?.stop()
  for (const again of ['etcd/etcd-1', 'keyring', 'keyring.root']) {
    await rm(join(ground.dir, again), { recursive: true })
  }
})

test.serial('the guide: the cluster itself comes back', async (t) => {
  const [restore = '', list = ''] = (await commandsOf(/^4\. /)).split(/(?=^kubectl)/m)
  await run(restore)
  await cluster.etcd.members[0]?.start()
  await cluster.plugin.start()
  await cluster.server.start()
  t.regex(await run(list), /shop\s+large/)
  t.deepEqual(await digestsInCluster(cluster.server.admin), expected.during)
})
