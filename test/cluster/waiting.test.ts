import test from 'ava'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../e2e/support/until.ts'
import { podReady, podStatus } from './support/pods.ts'
import { createShop } from './support/shop.ts'
import { takeTurn } from './support/turn.ts'
import { useCluster } from './support/use-cluster.ts'
import { pod } from './support/workload.ts'

const cluster = useCluster(test)
const namespace = 'waiting'
const tenMinutes = 600_000

test('a pod whose account lacks the grant waits for ten minutes, says why, and starts with the grant', async (t) => {
  t.timeout(2 * tenMinutes)
  const shop = await createShop(cluster, namespace)
  await shop.put('db', { password: 'worth-waiting-for' })
  const secrets = '- { secret: db, key: password, path: /etc/secrets/password }'
  const command = ['sh', '-c', 'test -s /etc/secrets/password && exec sleep 2147483647']
  const began = performance.now()
  await cluster.apply(
    pod(namespace, 'web', { secrets, user: 1234, containers: [{ name: 'app', command }] }),
  )

  const reason =
    /Warning +SecretsMissing .*secret db: service account web may not mount it \(kubectl create role /
  await until(
    'kubectl describe to say why',
    async () => reason.test(await shop.kubectl('describe', 'pod', 'web')),
    { timeoutMs: 60_000, everyMs: 500 },
  )
  await until(
    'ten minutes to pass',
    async () => {
      const { phase, containers, initContainers } = await podStatus(cluster, namespace, 'web')
      const [sidecar] = initContainers
      if (phase !== 'Pending' || containers[0]?.state.running !== undefined) t.fail('it started')
      if ((sidecar?.restartCount ?? 0) > 0) t.fail('the sidecar was restarted')
      return performance.now() - began > tenMinutes
    },
    { timeoutMs: tenMinutes + 60_000, everyMs: 2_000 },
  )
  t.regex(await shop.kubectl('describe', 'pod', 'web'), reason)

  const end = await takeTurn(cluster)
  try {
    const granted = performance.now()
    await shop.grant('db')
    const { containers, initContainers } = await podReady(cluster, namespace, 'web', 30_000)
    t.log(`started ${((performance.now() - granted) / 1000).toFixed(1)} s after the grant`)
    for (const { name, restartCount } of [...containers, ...initContainers])
      t.is(restartCount, 0, name)
  } finally {
    await end()
  }
  // It was waited for: the app read what it had been waiting for at its very start.
  await sleep(2_000)
  t.true((await podStatus(cluster, namespace, 'web')).ready)
})
