import test from 'ava'
import { testImages } from '../e2e/support/one-node/images.ts'
import { until } from '../e2e/support/until.ts'
import { podReady, podStatus } from './support/pods.ts'
import { createShop, type Shop } from './support/shop.ts'
import { takeTurnsWith } from './support/turn.ts'
import { useCluster } from './support/use-cluster.ts'
import { pod, template } from './support/workload.ts'

const cluster = useCluster(test)
takeTurnsWith(test, cluster)
const namespace = 'image-user'
const secrets = '- { secret: db, key: password, path: /etc/secrets/password }'
const image = testImages.appWithUser
let shop: Shop

test.before(async () => {
  shop = await createShop(cluster, namespace)
  await shop.put('db', { password: 'for-the-image’s-user' })
  await shop.grant('db')
})

test.serial('an image with USER and no runAsUser reads its files, by their group', async (t) => {
  await cluster.apply(pod(namespace, 'web', { secrets, containers: [{ name: 'app', image }] }))
  await podReady(cluster, namespace, 'web')
  const inApp = (script: string): Promise<string> => shop.exec('web', 'app', 'sh', '-c', script)
  t.is(await inApp('id -u'), '1234\n')
  t.is(await inApp('stat -L -c "%a %u %g" /etc/secrets/password'), '440 64999 64999\n')
  t.is(await inApp('cat /etc/secrets/password'), 'for-the-image’s-user')
  t.is(await inApp('(echo x >/etc/secrets/password) 2>/dev/null || echo refused'), 'refused\n')
})

test.serial('a Job with the sidecar completes', async (t) => {
  const command = ['sh', '-c', 'test -s /etc/secrets/password && echo done']
  await cluster.apply({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'once', namespace },
    spec: {
      backoffLimit: 0,
      template: template({
        secrets,
        restartPolicy: 'Never',
        containers: [{ name: 'app', image, command }],
      }),
    },
  })
  await shop.kubectl('wait', 'job/once', '--for=condition=complete', '--timeout=200s')
  t.is(await shop.kubectl('logs', 'job/once', '--container=app'), 'done\n')
  // The sidecar stopped of itself, when it was told to.
  const name = await shop.kubectl('get', 'pods', '--selector=job-name=once', '--output=name')
  const status = await until(
    'the sidecar to end',
    async () => {
      const found = await podStatus(cluster, namespace, name.trim().replace('pod/', ''))
      return found.initContainers[0]?.state.terminated === undefined ? undefined : found
    },
    { timeoutMs: 30_000 },
  )
  t.is(status.phase, 'Succeeded')
  t.like(status.initContainers[0], { restartCount: 0, state: { terminated: { exitCode: 0 } } })
})
