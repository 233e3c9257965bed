import test from 'ava'
import { join } from 'node:path'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { useGround } from '../support/ground.ts'
import { writeKubeconfig } from '../support/kubeconfig.ts'
import { collection, type Kubernetes } from '../support/kubernetes.ts'
import { migrations, rotate, staleKeys, type Migrations } from '../support/migration.ts'
import { until } from '../support/until.ts'
import { defineWidgets, widget, widgets } from '../support/widgets.ts'

const ground = useGround(test)
const widgetResource = 'widgets.test.latchkey.dev'
const both = ['--resource', 'secrets', '--resource', widgetResource]
const secrets = collection('v1', 'secrets', 'default')
const definitions = collection('apiextensions.k8s.io/v1', 'customresourcedefinitions')
const policies = collection('admissionregistration.k8s.io/v1', 'validatingadmissionpolicies')
const bindings = collection('admissionregistration.k8s.io/v1', 'validatingadmissionpolicybindings')
const value = { value: Buffer.from('MARKED-PLAINTEXT-VALUE').toString('base64') }

let cluster: EncryptedCluster
let command: Migrations
let etcd: readonly string[]

test.before(async () => {
  // Room for one change at a time, and no queue: most of what is sent at once is answered by 429.
  cluster = await startEncryptedCluster(ground, {
    resources: ['secrets', widgetResource],
    flags: ['--enable-priority-and-fairness=false', '--max-mutating-requests-inflight=1'],
  })
  command = migrations(ground, await operator())
  const { endpoints, clientFiles } = cluster.etcd
  etcd = [
    ...['--etcd', endpoints.join(','), '--etcd-ca', clientFiles.ca],
    ...['--etcd-cert', clientFiles.cert, '--etcd-key', clientFiles.key],
  ]
  await insist(async (api) => {
    await defineWidgets(api)
  })
  for (let number = 0; number < 200; number += 1) {
    await insist((api) =>
      api.create(secrets, { metadata: { name: `object-${number}` }, data: value }),
    )
  }
  await insist((api) => api.create(widgets, widget('small', 'a')))
  await insist((api) => api.create(widgets, widget('large', 'MARKED-PLAINTEXT-VALUE')))
})

/**
 * The kubeconfig of somebody who may do what the command says that it needs, and is no member of
 * `system:masters`: such are never answered by 429 (apiserver maxinflight.go).
 */
async function operator(): Promise<string> {
  const { identity, server } = cluster
  const kubeconfig = join(ground.dir, 'operator.kubeconfig')
  await writeKubeconfig(kubeconfig, {
    server: server.url,
    ca: identity.authority.cert,
    identity: await identity.authority.issue({ commonName: 'operator', use: ['client'] }),
  })
  const apiGroup = 'rbac.authorization.k8s.io'
  const metadata = { name: 'latchkey-migrate' }
  await insist((api) =>
    api.create(collection(`${apiGroup}/v1`, 'clusterroles'), {
      metadata,
      rules: [
        { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'patch'] },
        {
          apiGroups: ['test.latchkey.dev'],
          resources: ['widgets'],
          verbs: ['get', 'list', 'patch'],
        },
      ],
    }),
  )
  await insist((api) =>
    api.create(collection(`${apiGroup}/v1`, 'clusterrolebindings'), {
      metadata,
      roleRef: { apiGroup, kind: 'ClusterRole', name: metadata.name },
      subjects: [{ apiGroup, kind: 'User', name: 'operator' }],
    }),
  )
  return kubeconfig
}

/** How many changes the server has sent away by 429. */
async function sentAway(): Promise<number> {
  const { body } = await cluster.server.admin.text('/metrics')
  const counts = body.matchAll(/^apiserver_request_total\{.*code="429".*\} ([0-9.e+]+)$/gm)
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0)
}

/** Calls until the server has room. */
async function insist<T>(call: (api: Kubernetes) => Promise<T>): Promise<T> {
  return await until(
    'room for a change',
    async () => ({ answer: await call(cluster.server.admin) }),
    {
      timeoutMs: 30_000,
    },
  ).then(({ answer }) => answer)
}

test.serial('a server that answers 429 gets less, and every object is rewritten', async (t) => {
  const id = await rotate(cluster)
  const before = await sentAway()
  const { code, report, stderr } = await command.run(...both, '--workers', '32', ...etcd)
  t.is(code, 0, stderr)
  const times = (await sentAway()) - before
  t.log(`sent away ${times} times`)
  t.true(times > 10 && times < 200, `${times} times`)
  t.like(report, { proved: true, refused: [] })
  t.deepEqual(await staleKeys(cluster, '/registry/secrets/', id), [])
})

test.serial('what is refused is listed by cause, and the exit code says so', async (t) => {
  const { admin } = cluster.server
  // A policy forbids updates of what is frozen.
  await insist((api) =>
    api.create(secrets, { metadata: { name: 'frozen', labels: { frozen: 'yes' } }, data: value }),
  )
  await insist((api) =>
    api.create(secrets, {
      metadata: {
        name: 'leaving-frozen',
        labels: { frozen: 'yes' },
        finalizers: ['test.latchkey.dev/wait'],
      } as never,
      data: value,
    }),
  )
  await insist((api) =>
    api.create(secrets, {
      metadata: { name: 'leaving', finalizers: ['test.latchkey.dev/wait'] } as never,
      data: value,
    }),
  )
  for (const name of ['leaving', 'leaving-frozen']) await insist((api) => api.delete(secrets, name))
  const id = await rotate(cluster)
  await insist((api) =>
    api.create(policies, {
      metadata: { name: 'frozen.test.latchkey.dev' },
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: {
          resourceRules: [
            {
              apiGroups: [''],
              apiVersions: ['v1'],
              operations: ['UPDATE'],
              resources: ['secrets'],
            },
          ],
        },
        validations: [
          {
            expression: "!has(object.metadata.labels) || !('frozen' in object.metadata.labels)",
            message: 'MARKED-PLAINTEXT-VALUE',
          },
        ],
      },
    }),
  )
  await insist((api) =>
    api.create(bindings, {
      metadata: { name: 'frozen-everywhere' },
      spec: { policyName: 'frozen.test.latchkey.dev', validationActions: ['Deny'] },
    }),
  )
  // Tried on an object of its own: until the policy is in force, each try rewrites it.
  const tried = { name: 'tried', labels: { frozen: 'yes' } }
  await insist((api) => api.create(secrets, { metadata: tried }))
  await until(
    'the policy to be in force',
    async () => {
      try {
        await admin.patch(secrets, 'tried', { metadata: { labels: { again: 'yes' } } })
        return false
      } catch (error) {
        return (error as Error).message.includes('ValidatingAdmissionPolicy')
      }
    },
    { timeoutMs: 30_000, everyMs: 500 },
  )
  await insist((api) => api.delete(secrets, 'tried'))
  // The schema has become stricter than an object that is there. Since Kubernetes 1.33 an update that
  // leaves it as it is passes all the same (KEP-4008), so it is rewritten.
  const definition = await insist((api) => api.get(definitions, 'widgets.test.latchkey.dev'))
  const strict = JSON.parse(
    JSON.stringify(definition).replace(
      '"value":{"type":"string"}',
      '"value":{"type":"string","maxLength":3}',
    ),
  ) as typeof definition
  await insist((api) => api.replace(definitions, strict))
  let number = 0
  await until(
    'the schema to be in force',
    async () => {
      const name = `probe-${(number += 1)}`
      try {
        await admin.create(widgets, widget(name, 'too long'))
        return false
      } catch (error) {
        if ((error as Error).message.includes('is invalid')) return true
        throw error
      }
    },
    { timeoutMs: 30_000, everyMs: 500 },
  )

  const expected = [
    ['secrets/default/frozen', 'admission'],
    ['secrets/default/leaving-frozen', 'terminating'],
  ]
  for (const how of [[], [...etcd, '--expect-only', id]]) {
    const { code, report, stdout, stderr } = await command.run(...both, ...how)
    t.is(code, 4, stderr)
    const refused = report?.refused.toSorted((a, b) => (a.id < b.id ? -1 : 1)) ?? []
    t.deepEqual(
      refused.map((object) => [object.id, object.cause]),
      expected,
    )
    t.is(report?.proved, how.length > 0)
    t.regex(refused[0]?.detail ?? '', /^policy frozen.test.latchkey.dev, binding frozen-e/)
    t.regex(refused[1]?.detail ?? '', /test\.latchkey\.dev\/wait/)
    t.false(`${stdout}${stderr}`.includes('MARKED'))
  }
  t.deepEqual(await staleKeys(cluster, '/registry/secrets/', id), [
    '/registry/secrets/default/frozen',
    '/registry/secrets/default/leaving-frozen',
  ])
  t.deepEqual(await staleKeys(cluster, '/registry/test.latchkey.dev/', id), [])
  // One that only waits for its finalizers is rewritten as any other.
  t.is((await cluster.stored('secrets/default/leaving')).keyId, id)

  const accept = expected.flatMap(([name = '']) => ['--accept', name])
  const accepted = await command.run(...both, ...accept)
  t.is(accepted.code, 0)
  t.true(accepted.report?.refused.every((object) => object.accepted))
})

test.serial('what no API serves any more is found in etcd alone', async (t) => {
  const before = await cluster.etcd.client.get('/registry/test.latchkey.dev/widgets/default/small')
  if (before === undefined) throw new Error('unreachable')
  await insist((api) => api.delete(definitions, 'widgets.test.latchkey.dev'))
  await until(
    'the resource to be gone',
    async () => (await cluster.etcd.client.list('/registry/test.latchkey.dev/')).length === 0,
    { timeoutMs: 30_000, everyMs: 500 },
  )
  await cluster.etcd.client.put(before.key, before.value)
  const id = await rotate(cluster)
  const only = ['--resource', widgetResource, ...etcd, '--expect-only', id]
  const { code, report } = await command.run(...only)
  t.is(code, 4)
  t.deepEqual(
    report?.refused.map((object) => [object.id, object.cause]),
    [[`${widgetResource}/default/small`, 'no-api']],
  )
  t.is((await command.run('--resource', widgetResource)).code, 1)
})

test.serial('of all that is encrypted, what is stale is asked for and nothing else', async (t) => {
  const id = await rotate(cluster)
  const stale = await staleKeys(cluster, '/registry/secrets/', id)
  t.true(stale.length >= 200)
  const config = ['--all-encrypted', '--encryption-config', cluster.config]
  const accept = ['frozen', 'leaving-frozen'].flatMap((it) => ['--accept', `secrets/default/${it}`])
  const widgetToo = ['--accept', `${widgetResource}/default/small`]
  const { code, report, stderr } = await command.run(...config, ...etcd, ...accept, ...widgetToo)
  t.is(code, 0, stderr)
  const row = report?.resources.find(({ resource }) => resource === 'secrets')
  t.is(row?.refused, 2)
  // One may have been rewritten to find out under which key the API server writes.
  t.true(stale.length - (row?.rewritten ?? 0) - 2 <= 1, JSON.stringify(row))
  t.deepEqual((await staleKeys(cluster, '/registry/secrets/', id)).length, 2)
})
