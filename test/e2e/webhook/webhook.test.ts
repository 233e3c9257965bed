import test from 'ava'
import { join } from 'node:path'
import { objectOf, objectsOf, textOf, type JsonObject } from '../../../src/injection/pod/json.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { type ClusterIdentity, createClusterIdentity } from '../support/cluster-identity.ts'
import { startEtcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { collection, type KubernetesObject } from '../support/kubernetes.ts'
import { runProgram } from '../support/run-program.ts'
import { timed, told, withinASecond } from '../support/timed.ts'
import { until } from '../support/until.ts'
import {
  at,
  configurationName,
  configurations,
  installed,
  installWebhook,
  pathOf,
  startWebhook,
  webhookAddress,
  type WebhookProcess,
} from '../support/webhook.ts'

const ground = useGround(test)
const host = webhookAddress(ground)
const url = `https://${host}:8443/admit`
const pods = collection('v1', 'pods', 'shop')
const good = '- { secret: db, key: password, path: /etc/app/db/password }\n'

let server: ApiServer
let identity: ClusterIdentity
let webhook: WebhookProcess

test.before(async () => {
  const etcd = await startEtcd(ground)
  identity = await createClusterIdentity(ground)
  server = await startApiServer(ground, { etcd, identity })
  await server.admin.create(collection('v1', 'namespaces'), {
    metadata: { name: 'shop', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
  })
  await server.admin.create(collection('v1', 'serviceaccounts', 'shop'), {
    metadata: { name: 'web' },
  })
  await installWebhook(server, url)
  webhook = await startWebhook(ground, { server, identity, host })
  await until('the webhook to be trusted', ready, { timeoutMs: 30_000, everyMs: 100 })
  await inForce()
})

/** The API server hears of configurations by a watch of its own, a moment after they are written. */
async function inForce(): Promise<void> {
  await until(
    'the API server to ask the webhook',
    async () => {
      const created = await server.admin.create(`${pods}?dryRun=All`, pod('tried', good))
      return objectsOf(specOf(created)['initContainers']).length > 0
    },
    { timeoutMs: 20_000, everyMs: 100 },
  )
}

async function ready(): Promise<boolean> {
  if (!webhook.running()) throw new Error(webhook.stderr())
  const response = await fetch(`${webhook.metrics}/readyz`)
  return response.ok
}

function pod(name: string, list: string | undefined): KubernetesObject {
  return {
    metadata: {
      name,
      annotations: list === undefined ? {} : { 'latchkey.dev/secrets': list },
    },
    spec: {
      serviceAccountName: 'web',
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'app',
          image: 'app',
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    },
  }
}

const specOf = (object: KubernetesObject): JsonObject => objectOf(object['spec'] as JsonObject)

/** The bundle of every entry of both configurations. */
async function bundles(): Promise<readonly string[]> {
  const found: string[] = []
  for (const path of Object.values(configurations)) {
    const object = await server.admin.get(path, configurationName)
    for (const entry of objectsOf(object['webhooks'] as JsonObject[])) {
      found.push(textOf(objectOf(entry['clientConfig'])['caBundle']) ?? '')
    }
  }
  return found
}

test.serial('a pod in a restricted namespace comes out with its sidecar, first', async (t) => {
  const created = await server.admin.create(pods, pod('web', good))
  const spec = specOf(created)
  const [sidecar] = objectsOf(spec['initContainers'])
  t.like(sidecar, { name: 'latchkey', image: 'latchkey', restartPolicy: 'Always' })
  const mounts = objectsOf(objectsOf(spec['containers'])[0]?.['volumeMounts'])
  t.like(
    mounts.find((each) => each['mountPath'] === '/etc/app/db'),
    { name: 'latchkey-files-1', readOnly: true },
  )
  t.false(mounts.some(({ name }) => name === 'latchkey-pod'))
})

test.serial('the sidecar has no token of the API server, though the application has', async (t) => {
  const spec = specOf(await server.admin.get(pods, 'web'))
  const path = '/var/run/secrets/kubernetes.io/serviceaccount'
  const mountOf = (container: JsonObject | undefined): string =>
    textOf(
      objectsOf(container?.['volumeMounts']).find((it) => it['mountPath'] === path)?.['name'],
    ) ?? ''
  t.regex(mountOf(objectsOf(spec['containers'])[0]), /^kube-api-access-/)
  t.is(mountOf(objectsOf(spec['initContainers'])[0]), 'latchkey-no-token')
})

test.serial('what was admitted is admitted again without a change', async (t) => {
  const { spec, metadata } = await server.admin.get(pods, 'web')
  const { annotations = {} } = metadata
  const again = await server.admin.create(`${pods}?dryRun=All`, {
    metadata: { name: 'again', annotations },
    spec,
  })
  t.deepEqual(again['spec'], spec)
  t.deepEqual(again.metadata.annotations, annotations)
})

test.serial(
  'a wrong list is refused at admission with line, entry, reason and remedy',
  async (t) => {
    const error = await t.throwsAsync(
      server.admin.create(
        pods,
        pod('wrong', '- secret: db\n  key: p\n  path: /etc/a/p\n  mode: 440\n'),
      ),
    )
    t.is(
      error.message,
      '422 Invalid: admission webhook "pods.latchkey.dev" denied the request: latchkey.dev/secrets: line 4: entry 1, mode: expected quoted octal text, got the number 440; write "0440"',
    )
  },
)

test.serial('a workload whose pods would be refused is refused when it is applied', async (t) => {
  const { metadata, spec } = pod('web', '- { secret: db, path: /etc/db/, containers: [x] }')
  const deployments = collection('apps/v1', 'deployments', 'shop')
  const deployment = (annotations: unknown): KubernetesObject => ({
    metadata: { name: 'web' },
    spec: {
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' }, annotations }, spec },
    },
  })
  const error = await t.throwsAsync(
    server.admin.create(deployments, deployment(metadata.annotations)),
  )
  t.regex(error.message, /workloads\.latchkey\.dev.*names x, which the pod does not have/)
  await server.admin.create(deployments, deployment({ 'latchkey.dev/secrets': good }))
  const cronJobs = collection('batch/v1', 'cronjobs', 'shop')
  const job = { template: { metadata, spec: { ...(spec as object), restartPolicy: 'Never' } } }
  await t.throwsAsync(
    server.admin.create(cronJobs, {
      metadata: { name: 'nightly' },
      spec: { schedule: '0 0 * * *', jobTemplate: { spec: job } },
    }),
    { message: /workloads\.latchkey\.dev/ },
  )
})

test.serial(
  'declaration, plan, authorities and image of a pod are as they were admitted',
  async (t) => {
    for (const name of ['latchkey.dev/secrets', 'latchkey.dev/plan', 'latchkey.dev/ca']) {
      await t.throwsAsync(
        server.admin.patch(pods, 'web', { metadata: { annotations: { [name]: 'x' } } }),
        { message: new RegExp(`${name} of a pod cannot change`) },
      )
    }
    const { spec, metadata } = await server.admin.get(pods, 'web')
    const changed = structuredClone(spec) as { initContainers: { image: string }[] }
    for (const container of changed.initContainers) container.image = 'evil'
    await t.throwsAsync(server.admin.replace(pods, { metadata, spec: changed }), {
      message: /the image of container latchkey is the operator's/,
    })
    await server.admin.patch(pods, 'web', { metadata: { labels: { team: 'shop' } } })
    t.pass()
  },
)

test.serial('a plan that the webhook did not write is refused', async (t) => {
  const forged = pod('forged', undefined)
  const annotations = { 'latchkey.dev/plan': '[{"secret":"db","path":"/etc/db/"}]' }
  await t.throwsAsync(
    server.admin.create(pods, { ...forged, metadata: { name: 'forged', annotations } }),
    { message: /latchkey\.dev\/plan is written by Latchkey alone/ },
  )
})

test.serial('exempt namespaces are not asked about', async (t) => {
  await server.admin.create(collection('v1', 'serviceaccounts', 'kube-system'), {
    metadata: { name: 'web' },
  })
  const created = await server.admin.create(
    collection('v1', 'pods', 'kube-system'),
    pod('web', good),
  )
  t.is(specOf(created)['initContainers'], undefined)
})

test.serial('a bundle that is taken away is back within a second', async (t) => {
  const [before = ''] = await bundles()
  t.not(before, '')
  t.is(new Set(await bundles()).size, 1)
  for (const object of await installed('configuration.yaml')) {
    const current = await server.admin.get(pathOf(object), configurationName)
    const { resourceVersion = '' } = current.metadata
    const wiped = at(object, url)
    await server.admin.replace(pathOf(object), {
      ...wiped,
      metadata: { ...wiped.metadata, resourceVersion },
    })
    const took = await timed('the bundle to be back', async () =>
      (await bundles()).every((each) => each === before),
    )
    t.true(withinASecond(took), told(took))
  }
  await inForce()
})

test.serial(
  'a second replica has the same authority, and serves when the first is gone',
  async (t) => {
    const [before = ''] = await bundles()
    const second = await startWebhook(ground, { server, identity, host: ground.host(21) })
    await until('the second replica', async () => (await fetch(`${second.metrics}/readyz`)).ok, {
      timeoutMs: 30_000,
      everyMs: 100,
    })
    t.deepEqual(new Set(await bundles()), new Set([before]))
    await second.stop()
  },
)

test.serial('without the webhook annotated pods are refused, and nothing else is', async (t) => {
  await webhook.stop()
  await t.throwsAsync(server.admin.create(pods, pod('late', good)), {
    message: /failed calling webhook "pods\.latchkey\.dev"/,
  })
  await server.admin.create(pods, pod('plain', undefined))
  await server.admin.patch(pods, 'web', { metadata: { labels: { team: 'other' } } })
  const deployments = collection('apps/v1', 'deployments', 'shop')
  await server.admin.patch(deployments, 'web', { spec: { replicas: 2 } })
  await t.throwsAsync(
    server.admin.patch(pods, 'web', { metadata: { annotations: { 'latchkey.dev/plan': 'x' } } }),
    { message: /failed calling webhook/ },
  )
  await server.admin.delete(pods, 'web')
  const [before = ''] = await bundles()
  const { audit } = webhook
  webhook = await startWebhook(ground, { server, identity, host })
  await until('the webhook again', ready, { timeoutMs: 30_000, everyMs: 100 })
  t.is((await bundles())[0], before)
  await server.admin.create(pods, pod('late', good))
  const verified = await runProgram(ground, {
    command: process.execPath,
    args: [join(import.meta.dirname, '../../../cmd/latchkey.ts'), 'audit', 'verify', audit],
  })
  t.is(verified.code, 0, verified.stderr)
})

test.serial('its metrics tell what it did, and its log holds no key', async (t) => {
  const text = await (await fetch(`${webhook.metrics}/metrics`)).text()
  t.regex(
    text,
    /latchkey_webhook_admissions_total\{kind="pod",outcome="injected",dry_run="false"\} 1/,
  )
  for (const certificate of ['webhook', 'broker', 'authority']) {
    t.regex(text, new RegExp(`expiry_timestamp_seconds\\{certificate="${certificate}"\\} [0-9]+`))
  }
  t.false(webhook.stderr().includes('PRIVATE KEY'))
})
