import test from 'ava'
import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SecretBytes } from '../../../src/base/secret.ts'
import { decodeShares, encodeShare } from '../../../src/keyring/roots/share-text.ts'
import type { ScanReport } from '../../../src/storage/scan.ts'
import { binary } from '../support/binaries.ts'
import { runLatchkey } from '../support/cli.ts'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { saveSnapshot } from '../support/etcdctl.ts'
import { useGround } from '../support/ground.ts'
import { latchkey } from '../support/keyring.ts'
import { collection } from '../support/kubernetes.ts'
import { rotate } from '../support/migration.ts'
import { type Ran, runOk } from '../support/run-program.ts'
import { type Digests, digestsExtracted, digestsInCluster } from './digests.ts'

// Everything is lost but a snapshot, a backup that was split among five people, and three of them.

const ground = useGround(test)
const safe = join(ground.dir, 'safe')
const snapshot = join(safe, 'snapshot.db')
const backup = join(safe, 'backup.latchkey')
const [one, three, five] = ['one', 'three', 'five'].map((name) => join(safe, `${name}.txt`)) as [
  string,
  string,
  string,
]
/** A share of another backup of the same keyring. */
const foreign = join(safe, 'foreign.txt')
/** What is left of the cluster. */
const kept = ['backup.latchkey', 'five.txt', 'foreign.txt', 'one.txt', 'snapshot.db', 'three.txt']

let cluster: EncryptedCluster
let expected: ReadonlyMap<string, Digests>

test.before(async () => {
  await mkdir(safe, { mode: 0o700 })
  cluster = await startEncryptedCluster(ground, { resources: ['secrets'] })
  const { admin } = cluster.server
  const create = async (name: string, bytes: number): Promise<void> => {
    await admin.create(collection('v1', 'secrets', 'default'), {
      metadata: { name },
      data: { value: randomBytes(bytes).toString('base64'), empty: '' },
    })
  }
  await create('small', 24)
  await create('large', 700_000)
  await rotate(cluster)
  await create('later', 24)
  expected = await digestsInCluster(admin)
  await copyFile(await saveSnapshot(ground, cluster.etcd, 'snapshot.db'), snapshot)

  const shares = await makeBackup(backup, 'shares')
  for (const [at, path] of [one, , three, , five].entries()) {
    if (path !== undefined) await copyFile(shares[at] ?? '', path)
  }
  const others = await makeBackup(join(ground.dir, 'other.latchkey'), 'others')
  await copyFile(others[1] ?? '', foreign)

  await cluster.server.stop()
  await cluster.plugin.stop()
  await cluster.etcd.members[0]?.stop()
  for (const lost of [
    ...['etcd/etcd-1', 'keyring', 'keyring.root', 'snapshot.db'],
    ...['shares', 'others', 'other.latchkey'],
  ]) {
    await rm(join(ground.dir, lost), { recursive: true })
  }
})

/** A backup that any three of five shares open; the paths of those, in the order of their numbers. */
async function makeBackup(path: string, directory: string): Promise<readonly string[]> {
  const { dir, root } = cluster.keyring
  const told = await latchkey(ground, [
    ...['keys', 'backup', '--keyring', dir, '--root', root, '--out', path],
    ...['--shares', '5', '--threshold', '3', '--share-dir', join(ground.dir, directory)],
  ])
  return told.trim().split('\n')
}

const named = (shares: readonly string[]): readonly string[] =>
  shares.flatMap((share) => ['--share', share])

async function decrypt(out: string, shares: readonly string[]): Promise<Ran> {
  return await runLatchkey(ground, [
    ...['etcd', 'decrypt', '--snapshot', snapshot, '--backup', backup, ...named(shares)],
    ...['--out', out, '/registry/secrets/'],
  ])
}

const inGround = async (): Promise<readonly string[]> => await readdir(ground.dir)

test.serial('shares that are too few, or not good, open nothing, and are named', async (t) => {
  t.deepEqual((await readdir(safe)).sort(), kept)
  const wrong = join(ground.dir, 'wrong.txt')
  const text = SecretBytes.take(new Uint8Array(await readFile(three)))
  const [share] = decodeShares(text, three)
  if (share === undefined) return t.fail('there is no share in its file')
  const secret = new Uint8Array(share.secret.expose())
  secret[7] = (secret[7] ?? 0) ^ 1
  // Well-formed and not what was handed out, as somebody would make it who wants to spoil the drill.
  const forged = encodeShare({ ...share, secret: SecretBytes.take(secret) })
  await writeFile(wrong, forged.expose(), { mode: 0o600 })
  const mistyped = join(ground.dir, 'mistyped.txt')
  const good = await readFile(three, 'utf8')
  const lines = good.split('\n')
  const at = lines.findIndex((line) => line.startsWith('2'))
  const line = lines[at] ?? ''
  lines[at] = `${line.slice(0, 5)}${line[5] === 'A' ? 'B' : 'A'}${line.slice(6)}`
  await writeFile(mistyped, lines.join('\n'), { mode: 0o600 })

  const cases: readonly [readonly string[], string, RegExp][] = [
    [[one, three], 'ERR_SHARES_TOO_FEW', /2 of the 3 shares that are needed are there/],
    [[one], 'ERR_SHARES_TOO_FEW', /1 of the 3 shares that are needed is there/],
    [[one, three, three], 'ERR_SHARES_TOO_FEW', /share 3 .*three\.txt\) was given already/],
    [[one, three, foreign], 'ERR_SHARE_FOREIGN', /share 2 .*foreign\.txt\) belongs to another/],
    [[one, wrong, five], 'ERR_SHARE_WRONG', /share 3 .*wrong\.txt\) is not as it was handed out/],
    [[one, mistyped, five], 'ERR_SHARE_INVALID', new RegExp(`mistyped\\.txt, line ${at + 1}:`)],
  ]
  const before = await inGround()
  const place = ['--keyring', join(ground.dir, 'keyring')]
  const root = ['--root', `file:${join(ground.dir, 'keyring.root')}`]
  for (const [shares, code, says] of cases) {
    const restore = ['keys', 'restore', '--from', backup, ...place, ...root, ...named(shares)]
    for (const ran of [
      await decrypt(join(ground.dir, 'refused'), shares),
      await runLatchkey(ground, restore),
    ]) {
      t.not(ran.code, 0)
      t.true(ran.stderr.includes(`(${code})`), ran.stderr)
      t.regex(ran.stderr, says)
    }
  }
  t.deepEqual(await inGround(), before)

  const tried = await runLatchkey(ground, [
    ...['keys', 'shares', '--from', backup, '-o', 'json', ...named([one, wrong, five])],
  ])
  t.is(tried.code, 4, tried.stderr)
  const { shares } = JSON.parse(tried.stdout) as { shares: { index: number; state: string }[] }
  t.deepEqual(
    shares.map(({ index, state }) => [index, state]),
    [
      [1, 'good'],
      [3, 'wrong'],
      [5, 'good'],
    ],
  )
})

test.serial('three shares take every Secret out of the snapshot, byte for byte', async (t) => {
  for (const shares of [
    [one, three, five],
    [five, one, three],
    [foreign, one, three, five],
  ]) {
    const out = join(ground.dir, 'out')
    const { code, stderr } = await decrypt(out, shares)
    t.is(code, 0, stderr)
    t.deepEqual(await digestsExtracted(out), expected)
    t.is(stderr.includes('it was not needed'), shares.includes(foreign))
    await rm(out, { recursive: true })
  }
})

test.serial('the keyring that three shares restore serves the restored cluster', async (t) => {
  const { dir, root } = cluster.keyring
  const shares = named([one, three, five])
  const check = await runLatchkey(ground, [
    ...['keys', 'backup', '--check', snapshot, '--from', backup, ...shares],
  ])
  t.is(check.code, 0, check.stderr)
  await latchkey(ground, [
    ...['keys', 'restore', '--from', backup, ...shares, '--keyring', dir, '--root', root],
  ])
  const { stdout, code, stderr } = await runLatchkey(ground, [
    ...['etcd', 'scan', '--snapshot', snapshot, '--resource', 'secrets', '-o', 'json'],
    ...['--keyring', dir, '--root', root],
  ])
  t.is(code, 0, stderr)
  const { proof } = JSON.parse(stdout) as ScanReport
  t.deepEqual(proof, { decrypted: expected.size, failures: [] })

  const peer = (cluster.etcd.endpoints[0] ?? '').replace(/2379$/, '2380')
  await runOk(ground, {
    command: await binary('etcdutl'),
    args: [
      ...['snapshot', 'restore', snapshot, '--data-dir', join(ground.dir, 'etcd', 'etcd-1')],
      ...['--bump-revision', '1000000000', '--mark-compacted', '--name', 'etcd-1'],
      ...['--initial-cluster', `etcd-1=${peer}`, '--initial-advertise-peer-urls', peer],
    ],
  })
  await cluster.etcd.members[0]?.start()
  await cluster.plugin.start()
  await cluster.server.start()
  t.deepEqual(await digestsInCluster(cluster.server.admin), expected)
  // It also writes: what is rotated now is under a key that the backup does not have.
  t.is((await cluster.keyring.list()).keys.length, 2)
  const id = await rotate(cluster)
  t.is((await cluster.stored('secrets/default/later')).keyId === id, false)
  t.is(await cluster.keyring.active(), id)
})
