import test from 'ava'
import { collection } from '../e2e/support/kubernetes.ts'
import { until } from '../e2e/support/until.ts'
import { processOf } from './support/container-process.ts'
import { podOf, podReady, podStatus, type PodStatus } from './support/pods.ts'
import { createShop, type Shop } from './support/shop.ts'
import { takeTurnsWith } from './support/turn.ts'
import { useCluster } from './support/use-cluster.ts'
import { deployment, pod } from './support/workload.ts'

const cluster = useCluster(test)
takeTurnsWith(test, cluster)
const namespace = 'outage'
const system = 'latchkey-system'
const secrets = '- { secret: db, key: password, path: /etc/secrets/password }'

let shop: Shop
let web: string

test.before(async () => {
  shop = await createShop(cluster, namespace)
  await shop.put('db', { password: 'first-password' })
  await shop.grant('db')
  await cluster.apply(deployment(namespace, 'web', { secrets, user: 1234 }))
  web = await podOf(cluster, namespace, 'web')
})

const read = (name = web): Promise<string> => shop.exec(name, 'app', 'cat', '/etc/secrets/password')

/** Sets the number of replicas and waits until exactly so many serve. */
async function scale(name: string, replicas: number): Promise<void> {
  await cluster.kubectl(
    'scale',
    `deployment/${name}`,
    `--namespace=${system}`,
    `--replicas=${replicas}`,
  )
  const labels = `app.kubernetes.io/component=${name.replace('latchkey-', '')}`
  await until(
    `${replicas} of ${name}`,
    async () => {
      const pods = await cluster.admin.list(collection('v1', 'pods', system), {
        labelSelector: labels,
      })
      const slices = await cluster.admin.list(
        collection('discovery.k8s.io/v1', 'endpointslices', system),
        { labelSelector: `kubernetes.io/service-name=${name}` },
      )
      const ready = slices.items
        .flatMap(({ endpoints }) => (endpoints ?? []) as { conditions: { ready: boolean } }[])
        .filter(({ conditions }) => conditions.ready)
      return pods.items.length === replicas && ready.length === replicas
    },
    { timeoutMs: 120_000, everyMs: 200 },
  )
}

const sidecarOf = (status: PodStatus): PodStatus['initContainers'][number] | undefined =>
  status.initContainers.find(({ name }) => name === 'latchkey')

test.serial('a sidecar that is killed while there is no broker leaves the pod ready', async (t) => {
  await scale('latchkey-broker', 0)
  const before = await podStatus(cluster, namespace, web)
  t.true(before.ready)
  process.kill(await processOf(sidecarOf(before)?.containerID), 'SIGKILL')
  const after = await until(
    'the pod to be ready with a new sidecar',
    async () => {
      const status = await podStatus(cluster, namespace, web)
      return sidecarOf(status)?.restartCount === 1 && status.ready && status
    },
    { timeoutMs: 60_000, everyMs: 200 },
  )
  t.is(after.containers[0]?.restartCount, 0)
  t.is(after.containers[0]?.containerID, before.containers[0]?.containerID)
  t.is(await read(), 'first-password')

  // And what has changed meanwhile arrives when there is one again.
  await shop.put('db', { password: 'second-password' })
  await scale('latchkey-broker', 2)
  await until('the update', async () => (await read()) === 'second-password', {
    timeoutMs: 60_000,
    everyMs: 200,
  })
  t.is(sidecarOf(await podStatus(cluster, namespace, web))?.restartCount, 1)
})

test.serial('without the webhook annotated pods are refused, and others start', async (t) => {
  await scale('latchkey-webhook', 0)
  const plain = pod(namespace, 'plain', { user: 1234 })
  await cluster.apply(plain)
  await podReady(cluster, namespace, 'plain')
  const annotated = pod(namespace, 'annotated', { secrets, user: 1234 })
  const refused = await cluster.tryKubectl(['apply', '-f', '-'], JSON.stringify(annotated))
  t.not(refused.code, 0)
  t.regex(refused.stderr, /failed calling webhook "pods\.latchkey\.dev"/)
  t.is(await read(), 'second-password')
  // A running pod can still be taken away.
  await shop.kubectl('delete', 'pod', 'plain')

  await scale('latchkey-webhook', 2)
  await until(
    'the API server to reach the webhook',
    async () =>
      (await cluster.tryKubectl(['apply', '-f', '-'], JSON.stringify(annotated))).code === 0,
    { timeoutMs: 60_000, everyMs: 500 },
  )
  await podReady(cluster, namespace, 'annotated')
  t.is(await read('annotated'), 'second-password')
})

test.serial('kubectl rollout restart of broker and webhook loses nothing', async (t) => {
  const restart = async (name: string): Promise<void> => {
    await cluster.kubectl('rollout', 'restart', `deployment/${name}`, `--namespace=${system}`)
    const wait = ['rollout', 'status', `deployment/${name}`, `--namespace=${system}`]
    await cluster.kubectl(...wait, '--timeout=180s')
  }
  const names = ['latchkey-broker', 'latchkey-webhook']
  const over = new AbortController()
  const restarted = Promise.all(names.map(restart)).finally(() => {
    over.abort()
  })
  // Meanwhile: what is there stays, what is new is admitted, what changes arrives.
  const seen = new Set<string>()
  let [admitted, updates] = [0, 0]
  while (!over.signal.aborted) {
    const candidate = pod(namespace, `during-${admitted}`, { secrets, user: 1234 })
    const { code, stdout, stderr } = await cluster.tryKubectl(
      ['apply', '--dry-run=server', '--output=json', '-f', '-'],
      JSON.stringify(candidate),
    )
    t.is(code, 0, stderr)
    t.true(stdout.includes('"latchkey-sidecar"'))
    admitted += 1
    updates += 1
    const password = `password-${updates}`
    await shop.put('db', { password })
    seen.add(password)
    t.regex(await read(), /^(?:second-)?password(?:-\d+)?$/)
  }
  await restarted
  t.true(admitted > 3)
  await until('the last update', async () => (await read()) === `password-${updates}`, {
    timeoutMs: 60_000,
    everyMs: 200,
  })
  const { ready, containers, initContainers } = await podStatus(cluster, namespace, web)
  t.true(ready)
  t.is(containers[0]?.restartCount, 0)
  t.is(initContainers[0]?.restartCount, 1) // of the first test
})
