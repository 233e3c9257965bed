import test from 'ava'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { useGround } from '../support/ground.ts'
import { runLatchkey } from '../support/cli.ts'
import { collection } from '../support/kubernetes.ts'
import { migrations, rotate, staleKeys, type Migrations } from '../support/migration.ts'
import { until } from '../support/until.ts'

// What stops an API server from rewriting an object and is nobody's refusal: a webhook that is away,
// and an object that nobody can decrypt.

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'default')
const webhooks = collection('admissionregistration.k8s.io/v1', 'validatingwebhookconfigurations')
const webhookName = 'away.test.latchkey.dev'
const data = { value: Buffer.from('MARKED-PLAINTEXT-VALUE').toString('base64') }
const only = ['--resource', 'secrets']

let cluster: EncryptedCluster
let command: Migrations
let etcd: readonly string[]

test.before(async () => {
  cluster = await startEncryptedCluster(ground, { resources: ['secrets'] })
  command = migrations(ground, cluster.server.kubeconfig)
  const { endpoints, clientFiles } = cluster.etcd
  etcd = [
    ...['--etcd', endpoints.join(','), '--etcd-ca', clientFiles.ca],
    ...['--etcd-cert', clientFiles.cert, '--etcd-key', clientFiles.key],
  ]
  for (const name of ['a', 'b', 'c']) {
    await cluster.server.admin.create(secrets, { metadata: { name }, data })
  }
  for (const name of ['watched-1', 'watched-2']) {
    await cluster.server.admin.create(secrets, {
      metadata: { name, labels: { watched: 'yes' } },
      data,
    })
  }
})

/** A webhook for updates of what is labelled, at an address where nobody listens. */
async function installAway(): Promise<void> {
  const { admin } = cluster.server
  await admin.create(webhooks, {
    metadata: { name: webhookName },
    webhooks: [
      {
        name: webhookName,
        clientConfig: {
          url: `https://${ground.host(210)}:8443/`,
          caBundle: Buffer.from(cluster.identity.authority.cert).toString('base64'),
        },
        rules: [
          { apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['secrets'] },
        ],
        objectSelector: { matchLabels: { watched: 'yes' } },
        failurePolicy: 'Fail',
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
        timeoutSeconds: 2,
      },
    ],
  })
  // Tried on an object of its own: until the webhook is in force, each try rewrites it.
  const tried = { name: 'tried', labels: { watched: 'yes' } }
  await admin.create(secrets, { metadata: tried })
  let number = 0
  await until(
    'the webhook to be in force',
    async () => {
      try {
        number += 1
        await admin.patch(secrets, 'tried', { metadata: { labels: { again: `${number}` } } })
        return false
      } catch (error) {
        return (error as Error).message.includes('failed calling webhook')
      }
    },
    { timeoutMs: 30_000, everyMs: 500 },
  )
  await admin.delete(secrets, 'tried')
}

test.serial('what a webhook that is away keeps from being rewritten is listed', async (t) => {
  const id = await rotate(cluster)
  await installAway()
  const expected = ['watched-1', 'watched-2']
  for (const how of [[], [...etcd, '--expect-only', id]]) {
    const { code, report, stdout, stderr } = await command.run(...only, ...how)
    t.is(code, 4, stderr)
    t.deepEqual(
      report?.refused.map((object) => [object.id, object.cause, object.detail]).sort(),
      expected.map((name) => [
        `secrets/default/${name}`,
        'admission',
        `webhook ${webhookName} cannot be asked`,
      ]),
    )
    for (const { remedy } of report?.refused ?? []) t.regex(remedy, /bring the webhook back/)
    t.is(report?.proved, how.length > 0)
    t.false(`${stdout}${stderr}`.includes('MARKED'))
  }
  t.deepEqual(
    await staleKeys(cluster, '/registry/secrets/', id),
    expected.map((name) => `/registry/secrets/default/${name}`),
  )

  const kubeconfig = ['--kubeconfig', cluster.server.kubeconfig]
  const told = await runLatchkey(ground, ['etcd', 'migrate', ...kubeconfig, ...only])
  t.is(told.code, 4, told.stderr)
  t.regex(told.stderr, /^admission: 2 not rewritten\. To mend it: .*bring the webhook back/m)

  await cluster.server.admin.delete(webhooks, webhookName)
  await until(
    'all to be rewritten without it',
    async () => (await command.run(...only)).code === 0,
    { timeoutMs: 120_000, everyMs: 500 },
  )
  t.deepEqual(await staleKeys(cluster, '/registry/secrets/', id), [])
})

test.serial('one object that cannot be decrypted is told from an outage, and listed', async (t) => {
  const id = await rotate(cluster)
  const { client } = cluster.etcd
  const { raw } = await cluster.stored('secrets/default/a')
  // Each object is authenticated together with its place, so that it opens nowhere else.
  const moved = '/registry/secrets/default/aa-moved'
  await client.put(moved, raw)

  const without = await command.run(...only)
  t.is(without.code, 1, without.stderr)
  t.regex(without.stderr, /ERR_KUBERNETES_UNAVAILABLE/)
  t.regex(without.stderr, /cannot list secrets, as when it cannot decrypt one of them/)
  t.regex(without.stderr, /--etcd.*"latchkey etcd scan --keyring"/)
  t.false(without.stderr.includes('MARKED'))

  // The remedy, as it is told.
  const { code, report, stderr } = await command.run(...only, ...etcd)
  t.is(code, 4, stderr)
  t.deepEqual(
    report?.refused.map((object) => [object.id, object.cause]),
    [['secrets/default/aa-moved', 'server-error']],
  )
  t.true(report?.proved)
  t.deepEqual(await staleKeys(cluster, '/registry/secrets/', id), [moved])

  const { dir, root } = cluster.keyring
  const scanned = await runLatchkey(ground, [
    ...['etcd', 'scan', ...etcd, ...only, '--keyring', dir, '--root', root],
  ])
  t.is(scanned.code, 4, scanned.stderr)
  t.regex(`${scanned.stdout}${scanned.stderr}`, /ERR_CIPHERTEXT_INVALID/)
})
