import test from 'ava'
import type { ScanReport } from '../../../src/storage/scan.ts'
import type { ScanRow } from '../../../src/storage/tally.ts'
import { createAuthority } from '../support/authority.ts'
import { runLatchkey } from '../support/cli.ts'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { startEtcd, type Etcd } from '../support/etcd.ts'
import { saveSnapshot } from '../support/etcdctl.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'

// An API server that keeps its events in an etcd of their own, as large clusters do.

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'default')
const events = collection('v1', 'events', 'default')

let cluster: EncryptedCluster
let main: Etcd
let ofEvents: Etcd

test.before(async () => {
  const authority = await createAuthority('etcd')
  ;[main, ofEvents] = await Promise.all([
    startEtcd(ground, { authority }),
    startEtcd(ground, { authority, name: 'etcd-events', behindHost: 10 }),
  ])
  cluster = await startEncryptedCluster(ground, {
    etcd: main,
    resources: ['secrets', 'events'],
    flags: [`--etcd-servers-overrides=/events#${ofEvents.endpoints.join(';')}`],
  })
  const { admin } = cluster.server
  for (const name of ['a', 'b', 'c']) {
    await admin.create(secrets, { metadata: { name }, stringData: { value: 'MARKED' } })
    await admin.create(events, {
      metadata: { name },
      involvedObject: { kind: 'Secret', namespace: 'default', name },
      reason: 'Test',
      message: 'MARKED',
      type: 'Normal',
    })
  }
  // What the main etcd has of events from the time before they got their own.
  const [event] = await ofEvents.client.list('/registry/events/')
  if (event === undefined) throw new Error('the other etcd has no events')
  await main.client.put(event.key, event.value)
})

const flags = (etcds: readonly string[]): readonly string[] => {
  const { ca, cert, key } = main.clientFiles
  return [
    ...etcds.flatMap((endpoint) => ['--etcd', endpoint]),
    ...['--etcd-ca', ca, '--etcd-cert', cert, '--etcd-key', key],
  ]
}

const proof = (): readonly string[] => {
  const { dir, root } = cluster.keyring
  return ['--keyring', dir, '--root', root]
}

async function scanned(...args: readonly string[]): Promise<ScanReport> {
  const { code, stdout, stderr } = await runLatchkey(ground, [
    ...['etcd', 'scan', '-o', 'json'],
    ...args,
  ])
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as ScanReport
}

/** Leases and masterleases are written all the time. */
const isSteady = ({ resource }: ScanRow): boolean => resource === 'secrets' || resource === 'events'
const [a, b] = [(): string => main.endpoints[0] ?? '', (): string => ofEvents.endpoints[0] ?? '']

test.serial('two etcds are one report: each object is counted where it is', async (t) => {
  const inMain = (await scanned(...flags([a()]))).resources.filter(isSteady)
  const inOther = (await scanned(...flags([b()]))).resources.filter(isSteady)
  t.like(
    inMain.find(({ resource }) => resource === 'events'),
    { objects: 1 },
  )
  t.deepEqual(
    inOther.map(({ resource, objects }) => ({ resource, objects })),
    [{ resource: 'events', objects: 3 }],
  )
  const snapshots = [
    ...['--snapshot', await saveSnapshot(ground, main, 'main.db')],
    ...['--snapshot', await saveSnapshot(ground, ofEvents, 'events.db')],
  ]
  for (const sources of [flags([a(), b()]), flags([b(), a()]), snapshots]) {
    const report = await scanned(...sources, ...proof())
    const merged = report.resources.filter(isSteady)
    const [ofMain, ofOther] = [inMain, inOther].map((rows) =>
      rows.find(({ resource }) => resource === 'events'),
    )
    t.like(
      merged.find(({ resource }) => resource === 'events'),
      { objects: 4, bytes: (ofMain?.bytes ?? 0) + (ofOther?.bytes ?? 0) },
    )
    t.is(merged.length, 2)
    t.deepEqual(
      merged.find(({ resource }) => resource === 'secrets'),
      inMain.find(({ resource }) => resource === 'secrets'),
    )
    t.is(report.sources.length, 2)
    t.true(report.sources.every(({ revision }) => revision > 0))
    t.deepEqual(report.proof, { decrypted: 7, failures: [] })
  }
})

test.serial('what one of them alone has in another way fails the whole', async (t) => {
  const expected = ['--expect-only', await cluster.keyring.active(), '--resource', 'events']
  const sound = await runLatchkey(ground, [...['etcd', 'scan', ...flags([a(), b()]), ...expected]])
  t.is(sound.code, 0, sound.stderr)
  await ofEvents.client.put('/registry/events/default/plain', Buffer.from('k8s\0plaintext'))
  for (const order of [
    [a(), b()],
    [b(), a()],
  ]) {
    const { code, stderr } = await runLatchkey(ground, [
      'etcd',
      'scan',
      ...flags(order),
      ...expected,
    ])
    t.is(code, 4)
    t.regex(stderr, /\/registry\/events\/default\/plain/)
  }
})

test.serial('an etcd that is away is an error, and no report of the other', async (t) => {
  await ofEvents.members[0]?.stop()
  for (const source of [flags([a(), b()]), [...flags([b(), a()]), ...proof()]]) {
    const { code, stdout, stderr } = await runLatchkey(ground, [
      ...['etcd', 'scan', '-o', 'json', ...source],
    ])
    t.is(code, 1, stderr)
    t.is(stdout, '')
    t.regex(stderr, /ERR_ETCD_UNAVAILABLE/)
    t.true(stderr.includes(b().replace('https://', '')), stderr)
  }
  await ofEvents.members[0]?.start()
  t.is((await scanned(...flags([a(), b()]))).sources.length, 2)
})
