import test from 'ava'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ScanReport } from '../../../src/storage/scan.ts'
import { type ControlPlanes, startControlPlanes } from '../support/control-planes.ts'
import { saveSnapshot } from '../support/etcdctl.ts'
import { useGround } from '../support/ground.ts'
import { collection, type Kubernetes } from '../support/kubernetes.ts'
import { readStoredObject } from '../support/stored-object.ts'
import { until } from '../support/until.ts'

// Proofs with a keyring that is itself in etcd, reached with a client certificate.

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'default')

let cluster: ControlPlanes
let admin: Kubernetes
let snapshot: string
let [first, second] = ['', '']

async function ok(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await cluster.latchkey([...args, ...cluster.keyring])
  if (code !== 0) throw new Error(stderr)
  return stdout.trim()
}

async function createSecret(name: string): Promise<string | undefined> {
  await admin.create(secrets, { metadata: { name }, stringData: { value: 'MARKED' } })
  const stored = await cluster.etcd.client.get(`/registry/secrets/default/${name}`)
  return stored === undefined ? undefined : readStoredObject(stored.value)?.keyId
}

test.before(async () => {
  cluster = await startControlPlanes(ground, { count: 1, resources: ['secrets'] })
  const [node] = cluster.nodes
  if (node === undefined) throw new Error('one node')
  admin = node.server.admin
  for (const name of ['a', 'b', 'c']) first = (await createSecret(name)) ?? ''
  await ok('keys', 'stage')
  await until(
    'the node to have the new key',
    async () => {
      const ran = await cluster.latchkey(['keys', 'activate', ...cluster.keyring])
      if (ran.code !== 0) throw new Error(ran.stderr)
      second = ran.stdout.trim()
      return true
    },
    { timeoutMs: 60_000, everyMs: 500 },
  )
  let number = 0
  await until(
    'a Secret under the second key',
    async () => (await createSecret(`later-${(number += 1)}`)) === second,
    { timeoutMs: 90_000, everyMs: 1000 },
  )
  snapshot = await saveSnapshot(ground, cluster.etcd, 'snapshot.db')
})

/** Flags that name the etcd of the API server; its TLS files are those of the keyring. */
const running = (): readonly string[] => ['--etcd', cluster.etcd.endpoints.join(',')]

async function scanned(
  ...args: readonly string[]
): Promise<{ readonly code: number | null; readonly report: ScanReport }> {
  const { code, stdout, stderr } = await cluster.latchkey([
    ...['etcd', 'scan', '-o', 'json', '--resource', 'secrets'],
    ...args,
  ])
  if (stdout === '') throw new Error(stderr)
  return { code, report: JSON.parse(stdout) as ScanReport }
}

test.serial('every object decrypts with the keyring in etcd, live and in a snapshot', async (t) => {
  const held = (await cluster.etcd.client.list('/registry/secrets/')).length
  t.true(held >= 5)
  for (const source of [running(), ['--snapshot', snapshot]]) {
    const { code, report } = await scanned(...source, ...cluster.keyring)
    t.is(code, 0)
    t.deepEqual(report.proof, { decrypted: held, failures: [] })
    t.deepEqual(report.resources.map(({ keyId }) => keyId).sort(), [first, second].sort())
  }
})

test.serial('a snapshot is checked against the keyring in etcd, and a backup of it', async (t) => {
  const passphrase = join(ground.dir, 'passphrase')
  await writeFile(passphrase, 'kept apart from the backup', { mode: 0o600 })
  const backup = join(ground.dir, 'backup')
  const check = ['keys', 'backup', '--check', snapshot, '-o', 'json']
  const objects = (await cluster.etcd.client.list('/registry/secrets/')).length
  const made = await cluster.latchkey([
    ...[...check, ...cluster.keyring],
    ...['--out', backup, '--passphrase-file', passphrase],
  ])
  t.is(made.code, 0, made.stderr)
  const later = await cluster.latchkey([
    ...[...check, '--from', backup, '--passphrase-file', passphrase],
  ])
  t.is(later.code, 0, later.stderr)
  for (const { stdout } of [made, later]) {
    const { keys, damaged } = JSON.parse(stdout) as {
      keys: { keyId: string; objects: number; backup: string }[]
      damaged: number
    }
    t.is(damaged, 0)
    t.deepEqual(keys.map(({ keyId }) => keyId).sort(), [first, second].sort())
    t.true(keys.every((key) => key.backup === 'held'))
    t.is(
      keys.reduce((sum, key) => sum + key.objects, 0),
      objects,
    )
  }
})

test.serial('what the keyring in etcd no longer has, both proofs miss', async (t) => {
  await ok('keys', 'retire', first, '--unproven', '--yes')
  await ok('keys', 'destroy', first, '--unproven', '--yes')
  const { code, report } = await scanned(...running(), ...cluster.keyring)
  t.is(code, 4)
  const under = report.resources.find(({ keyId }) => keyId === first)
  t.deepEqual(
    report.proof?.failures.map(({ keyId, objects, cause }) => ({ keyId, objects, cause })),
    [{ keyId: first, objects: under?.objects, cause: 'ERR_KEY_DESTROYED' }],
  )
  const check = await cluster.latchkey([
    ...['keys', 'backup', '--check', snapshot, ...cluster.keyring],
  ])
  t.is(check.code, 3, check.stderr)
  t.regex(check.stderr, new RegExp(`lacking: ${first}, needed by ${under?.objects ?? 0} object`))
})

test.serial('without a certificate that etcd knows there is no report', async (t) => {
  const [ca = ''] = cluster.etcdFlags.filter((_, at, all) => all[at - 1] === '--etcd-ca')
  const keyring = cluster.keyring.slice(0, 4)
  t.deepEqual([keyring[0], keyring[2]], ['--keyring', '--root'])
  for (const source of [running(), ['--snapshot', snapshot]]) {
    const { code, stdout, stderr } = await cluster.latchkey([
      ...['etcd', 'scan', '-o', 'json', ...source, ...keyring, '--etcd-ca', ca],
    ])
    t.is(code, 1, stderr)
    t.is(stdout, '')
    t.regex(stderr, /ERR_ETCD_UN/)
  }
})
