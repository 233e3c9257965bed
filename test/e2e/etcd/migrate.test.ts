import test from 'ava'
import { randomBytes } from 'node:crypto'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { migrations, rotate, staleKeys, type Migrations } from '../support/migration.ts'
import { until } from '../support/until.ts'
import { startWriters } from '../support/writers.ts'
import { defineWidgets, widget, widgets } from '../support/widgets.ts'

const ground = useGround(test)
const widgetResource = 'widgets.test.latchkey.dev'
const everything = ['secrets', 'configmaps', widgetResource].flatMap((it) => ['--resource', it])
const roots = ['secrets', 'configmaps', 'test.latchkey.dev/widgets'].map((it) => `/registry/${it}/`)
const secrets = collection('v1', 'secrets', 'default')
const configMaps = collection('v1', 'configmaps', 'default')

let cluster: EncryptedCluster
let command: Migrations

test.before(async () => {
  cluster = await startEncryptedCluster(ground, {
    resources: ['secrets', 'configmaps', widgetResource],
  })
  command = migrations(ground, cluster.server.kubeconfig)
  const { admin } = cluster.server
  await defineWidgets(admin)
  for (let number = 0; number < 40; number += 1) {
    const value = randomBytes(number % 10 === 0 ? 400_000 : 100).toString('base64')
    const metadata = { name: `object-${number}` }
    await admin.create(secrets, { metadata, data: { value }, immutable: number % 4 === 0 })
    await admin.create(configMaps, { metadata, data: { value } })
    await admin.create(widgets, widget(`object-${number}`, value))
  }
})

/** Revision and value of each key below the roots. */
async function stored(): Promise<ReadonlyMap<string, { revision: number; value: Buffer }>> {
  const lists = await Promise.all(roots.map((root) => cluster.etcd.client.list(root)))
  return new Map(
    lists.flat().map(({ key, modRevision, value }) => [key, { revision: modRevision, value }]),
  )
}

async function stale(id: string): Promise<readonly string[]> {
  return (await Promise.all(roots.map((root) => staleKeys(cluster, root, id)))).flat()
}

test.serial('stale objects are rewritten, fresh ones are not, and no content moves', async (t) => {
  const { admin } = cluster.server
  const contents = async (): Promise<readonly unknown[]> => {
    const lists = await Promise.all([secrets, configMaps, widgets].map((path) => admin.list(path)))
    return lists.flatMap(({ items }) =>
      items.map((item) => {
        const { resourceVersion, managedFields, ...metadata } = item.metadata as Record<
          string,
          unknown
        >
        t.truthy(resourceVersion)
        return { ...item, metadata, managers: (managedFields as unknown[]).length }
      }),
    )
  }
  const id = await rotate(cluster)
  for (let number = 0; number < 5; number += 1) {
    await admin.create(secrets, { metadata: { name: `fresh-${number}` } })
  }
  const [before, contentBefore] = [await stored(), await contents()]
  const wereStale = new Set(await stale(id))
  t.true(wereStale.size >= 120)

  const { code, report, stderr } = await command.run(...everything)
  t.is(code, 0, stderr)
  t.deepEqual(report?.refused, [])
  t.is(
    report?.resources.reduce((sum, { rewritten }) => sum + rewritten, 0),
    wereStale.size,
  )
  t.deepEqual(await stale(id), [])
  const after = await stored()
  t.deepEqual([...after.keys()], [...before.keys()])
  for (const [key, { revision }] of after) {
    t.is(revision > (before.get(key)?.revision ?? 0), wereStale.has(key), key)
  }
  t.deepEqual(await contents(), contentBefore)

  const again = await command.run(...everything)
  t.is(again.code, 0)
  t.true(again.report?.resources.every(({ rewritten }) => rewritten === 0))
  t.deepEqual(await stored(), after)
})

test.serial('a dry run stores nothing', async (t) => {
  const id = await rotate(cluster)
  const before = await stored()
  const { code, report } = await command.run(...everything, '--dry-run')
  t.is(code, 0)
  t.deepEqual(report?.refused, [])
  t.deepEqual(await stored(), before)
  t.true((await stale(id)).length >= 120)
})

test.serial('killed half-way and run again, it ends with every object rewritten', async (t) => {
  const id = await rotate(cluster)
  const all = (await stale(id)).length
  let left = all
  for (let round = 0; round < 3; round += 1) {
    const child = await command.start(`killed-${round}`, ...everything, '--rate', '5')
    left = await until(
      'some objects to be rewritten',
      async () => {
        const now = (await stale(id)).length
        return now < left && now
      },
      { timeoutMs: 60_000, everyMs: 20 },
    )
    await child.kill()
    left = (await stale(id)).length
    t.true(left > 0, 'it was not killed half-way')
  }
  t.log(`${all} objects, ${left} left after three kills`)
  t.true(left < all)
  const { code, report } = await command.run(...everything)
  t.is(code, 0)
  t.is(
    report?.resources.reduce((sum, { rewritten }) => sum + rewritten, 0),
    left,
  )
  t.deepEqual(await stale(id), [])
})

test.serial(
  'writers lose nothing, the deleted stays deleted, and what is made again is another',
  async (t) => {
    const writers = await startWriters(t, cluster.server.admin, { objects: 150, workers: 6 })
    const id = await rotate(cluster)
    const writesBefore = writers.count()
    const { code, report } = await command.run('--resource', 'secrets')
    const during = writers.count() - writesBefore
    const { failures, lost } = await writers.stop()
    t.is(code, 0)
    t.deepEqual(report?.refused, [])
    t.true(during > 50, `only ${during} writes during the migration`)
    t.log(`${during} writes beside it; ${JSON.stringify(report?.resources)}`)
    t.deepEqual(failures, [])
    t.deepEqual(lost, [])
    t.deepEqual(await staleKeys(cluster, '/registry/secrets/', id), [])
  },
)
