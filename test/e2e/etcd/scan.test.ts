import test from 'ava'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ScanReport } from '../../../src/storage/scan.ts'
import type { ScanRow } from '../../../src/storage/tally.ts'
import { runLatchkey } from '../support/cli.ts'
import { saveSnapshot } from '../support/etcdctl.ts'
import {
  everyPlace,
  everyResource,
  everyValue,
  startEveryProvider,
  type EveryProvider,
} from '../support/every-provider.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'

// Data of every provider, written by a real kube-apiserver: the scanner says of each object what the
// API server's own code says of it, live and in a snapshot, and what it decrypts is the same bytes.

const ground = useGround(test)
let every: EveryProvider
let cluster: EveryProvider['cluster']
let [first, second] = ['', '']

test.before(async () => {
  every = await startEveryProvider(ground)
  cluster = every.cluster
  ;[first, second] = every.keyIds
})

function etcdFlags(): readonly string[] {
  const { ca, cert, key } = cluster.etcd.clientFiles
  const [endpoint = ''] = cluster.etcd.endpoints
  return ['--etcd', endpoint, '--etcd-ca', ca, '--etcd-cert', cert, '--etcd-key', key]
}

const only = everyResource.flatMap((resource) => ['--resource', resource])

async function scanned(
  args: readonly string[],
): Promise<{ report: ScanReport; code: number | null }> {
  const { code, stdout, stderr } = await runLatchkey(ground, [
    'etcd',
    'scan',
    ...args,
    '-o',
    'json',
  ])
  if (stdout === '') throw new Error(stderr)
  return { report: JSON.parse(stdout) as ScanReport, code }
}

/** Rows counted from the raw bytes, in a way of the test's own. */
async function counted(): Promise<readonly ScanRow[]> {
  const rows = new Map<string, ScanRow>()
  for (const resource of everyResource) {
    for (const { value: raw } of await every.storedOf(resource)) {
      const text = raw.toString('latin1')
      const provider = /^k8s:enc:((?:[^:]+:){2}[^:]+):/.exec(text)?.[1] ?? 'identity'
      const keyId = provider.startsWith('kms:') ? /lk1\.\d+\.[\w-]{22}/.exec(text)?.[0] : undefined
      const id = `${resource} ${provider} ${keyId ?? ''}`
      const { objects, bytes } = rows.get(id) ?? { objects: 0, bytes: 0 }
      const row = { resource, provider, objects: objects + 1, bytes: bytes + raw.length }
      rows.set(id, keyId === undefined ? row : { ...row, keyId })
    }
  }
  return [...rows.values()].sort(byRow)
}

const byRow = (a: ScanRow, b: ScanRow): number => (label(a) < label(b) ? -1 : 1)
const label = ({ resource, provider, keyId }: ScanRow): string => [resource, provider, keyId].join()

test.serial('live and in a snapshot, every object is counted as it is stored', async (t) => {
  const expected = await counted()
  const snapshot = await saveSnapshot(ground, cluster.etcd, 'snapshot.db')
  // A cluster that is named twice is read once.
  const twice = [...etcdFlags(), '--etcd', cluster.etcd.endpoints[0] ?? '']
  for (const source of [etcdFlags(), twice, ['--snapshot', snapshot]]) {
    const { report, code } = await scanned([...source, ...only])
    t.is(code, 0)
    t.deepEqual(report.resources.toSorted(byRow), expected)
    t.deepEqual(report.undecodable, [])
  }
  const providers = new Set(expected.map(({ provider }) => provider))
  t.deepEqual([...providers].sort(), [
    'aescbc:v1:aescbc-key',
    'aesgcm:v1:aesgcm-key',
    'identity',
    'kms:v1:latchkey-v1',
    'kms:v2:latchkey',
    'secretbox:v1:secretbox-key',
  ])
  t.true(expected.some(({ keyId }) => keyId === first))
  t.true(expected.some(({ keyId }) => keyId === second))
})

test.serial(
  'all of etcd is understood: no undecodable object, nothing exempt but what is',
  async (t) => {
    const { report } = await scanned(etcdFlags())
    t.deepEqual(report.undecodable, [])
    const exempt = report.exempt.map(({ resource }) => resource)
    for (const resource of exempt) t.regex(resource, /^(?:ranges|masterleases|peerserverleases)$/)
    t.true(exempt.includes('ranges'))
    // What the API server says exists, under the names that it uses itself.
    const known = new Set(report.resources.map(({ resource }) => resource))
    for (const resource of [
      'namespaces',
      'services',
      'leases.coordination.k8s.io',
      'clusterroles.rbac.authorization.k8s.io',
      'priorityclasses.scheduling.k8s.io',
      'flowschemas.flowcontrol.apiserver.k8s.io',
      'customresourcedefinitions.apiextensions.k8s.io',
      'apiservices.apiregistration.k8s.io',
      'widgets.test.latchkey.dev',
    ]) {
      t.true(known.has(resource), resource)
    }
  },
)

test.serial('what is named as unexpected is what the API server would rewrite', async (t) => {
  const { code, stderr } = await runLatchkey(ground, [
    ...['etcd', 'scan', ...etcdFlags(), ...only],
    ...['--encryption-config', cluster.config, '--expect-only', second],
  ])
  t.is(code, 4)
  const listed = [...stderr.matchAll(/^ {2}(\/registry\/\S+):/gm)].map(([, key]) => key)
  const stale: string[] = []
  for (const place of everyResource) {
    for (const { stored, read } of await every.apiServerView(place)) {
      if ('error' in read) return t.fail(`${stored.key}: ${read.error}`)
      // Under KMS v1 the API server does not know keys, so it calls nothing stale for its key.
      const underFirst = place === 'limitranges' && stored.value.includes(first)
      if (read.stale || underFirst) stale.push(stored.key)
    }
  }
  const counts = /and (\d+) more/.exec(stderr)?.[1] ?? '0'
  t.is(listed.length + Number(counts), stale.length)
  for (const key of listed) t.true(stale.includes(key ?? ''), key)
})

test.serial('each object decrypts to the bytes that the API server sees', async (t) => {
  const snapshot = await saveSnapshot(ground, cluster.etcd, 'all.db')
  const passphraseFile = join(ground.dir, 'passphrase')
  await writeFile(passphraseFile, 'of the backup', { mode: 0o600 })
  const backup = join(ground.dir, 'backup')
  const { dir, root } = cluster.keyring
  const made = await runLatchkey(ground, [
    ...['keys', 'backup', '--keyring', dir, '--root', root, '--check', snapshot],
    ...['--out', backup, '--passphrase-file', passphraseFile],
  ])
  t.is(made.code, 0, made.stderr)
  const proof = await scanned([
    ...['--snapshot', snapshot, '--keyring', dir, '--root', root],
    ...['--encryption-config', cluster.config, ...only],
  ])
  t.deepEqual(proof.report.proof?.failures, [])
  const out = join(ground.dir, 'out')
  const ran = await runLatchkey(ground, [
    ...['etcd', 'decrypt', '--snapshot', snapshot, '--all', '--out', out],
    ...['--backup', backup, '--passphrase-file', passphraseFile],
    ...['--encryption-config', cluster.config],
  ])
  t.is(ran.code, 0, ran.stderr)
  let compared = 0
  for (const place of everyResource) {
    for (const { stored, read } of await every.apiServerView(place)) {
      if ('error' in read) return t.fail(`${stored.key}: ${read.error}`)
      const name = stored.key.slice(everyPlace[place].at.length)
      const file = place === 'widgets.test.latchkey.dev' ? 'object.json' : 'object.pb'
      t.deepEqual(await readFile(join(out, place, name, file)), read.value, stored.key)
      compared += 1
    }
  }
  t.true(compared >= 3 * everyResource.length)
  const data = join(out, 'secrets', 'default', 'second', 'data', 'value')
  t.is(await readFile(data, 'utf8'), everyValue)
})

test.serial(
  'when everything is rewritten, the scan proves it, and keeps the past apart',
  async (t) => {
    const { admin } = cluster.server
    for (const place of everyResource) {
      const { path } = everyPlace[place]
      for (const { metadata } of (await admin.list(path)).items) {
        await admin.patch(path, metadata.name, {})
      }
    }
    // Under KMS v1 only a write that changes something is one.
    const limitRanges = everyPlace.limitranges.path
    for (const { metadata } of (await admin.list(limitRanges)).items) {
      await admin.patch(limitRanges, metadata.name, { metadata: { labels: { written: 'anew' } } })
    }
    const kubeSystem = collection('v1', 'configmaps', 'kube-system')
    for (const { metadata } of (await admin.list(kubeSystem)).items) {
      await admin.patch(kubeSystem, metadata.name, {})
    }
    const snapshot = await saveSnapshot(ground, cluster.etcd, 'rewritten.db')
    const expectation = [
      ...[
        '--encryption-config',
        cluster.config,
        '--expect-only',
        second,
        '--no-plaintext',
        ...only,
      ],
    ]
    for (const source of [etcdFlags(), ['--snapshot', snapshot]]) {
      const { report, code } = await scanned([...source, ...expectation])
      t.deepEqual(report.unexpected, [])
      t.is(code, 0)
    }
    const withHistory = await scanned(['--snapshot', snapshot, ...expectation, '--history'])
    t.is(withHistory.code, 4)
    t.true(withHistory.report.history?.some(({ keyId }) => keyId === first))
  },
)

test.serial('a scan of what is not there says so', async (t) => {
  const { code, stderr } = await runLatchkey(ground, [
    ...['etcd', 'scan', ...etcdFlags(), '--prefix', '/kubernetes.io'],
  ])
  t.is(code, 4)
  t.regex(stderr, /no API server with --etcd-prefix/)
})
