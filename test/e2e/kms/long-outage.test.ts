import test from 'ava'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { useGround } from '../support/ground.ts'
import { kmsCheck } from '../support/kms-check.ts'
import { connectKms } from '../support/kms-client.ts'
import { type KubernetesError, collection } from '../support/kubernetes.ts'
import { type SocketActivated, startSocketActivated } from '../support/socket-activated.ts'
import { until } from '../support/until.ts'

// The API server uses a seed for writes until 3 minutes after the plugin's last good Status.

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'default')
const data = { value: Buffer.from('from before the outage').toString('base64') }

let cluster: EncryptedCluster<SocketActivated>

test.before(async () => {
  cluster = await startEncryptedCluster(ground, { startPlugin: startSocketActivated })
})

test.serial(
  'plugin away for longer than 3 minutes: reads go on, writes stop and are back with it',
  async (t) => {
    t.timeout(900_000)
    const { admin } = cluster.server
    const { plugin } = cluster
    await admin.create(secrets, { metadata: { name: 'before' }, data })
    t.true((await kmsCheck(admin)).ok)
    await plugin.crash()
    const crashed = performance.now()
    const since = (): number => (performance.now() - crashed) / 1000

    let number = 0
    const refused = await until(
      'a write to be refused',
      async () => {
        t.deepEqual((await admin.get(secrets, 'before'))['data'], data)
        number += 1
        const metadata = { name: `during-${number}` }
        return await admin.create(secrets, { metadata, data }).then(
          () => undefined,
          (error: unknown) => error as KubernetesError,
        )
      },
      { timeoutMs: 220_000, everyMs: 1000 },
    )
    t.log(`writes went on for ${since().toFixed(0)} s, then: ${refused.message}`)
    t.true(since() > 150)
    t.is(refused.status, 500)
    t.regex(refused.message, /expired/)
    t.deepEqual((await admin.get(secrets, 'before'))['data'], data)

    await plugin.resume()
    const client = await connectKms(plugin.socket, 30_000)
    await client.status()
    client.close()
    const resumed = performance.now()
    await until(
      'a write to succeed',
      async () => {
        number += 1
        await kmsCheck(admin) // as the kubelet's readiness probe asks, every few seconds
        return await admin.create(secrets, { metadata: { name: `after-${number}` }, data })
      },
      { timeoutMs: 60_000, everyMs: 100 },
    )
    const seconds = (performance.now() - resumed) / 1000
    t.log(`the first write succeeded ${seconds.toFixed(1)} s after the plugin answered again`)
    // A failed check is kept for 3 s.
    t.true(seconds < 15)
  },
)
