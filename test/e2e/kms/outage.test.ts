import test from 'ava'
import { setTimeout as sleep } from 'node:timers/promises'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { useGround } from '../support/ground.ts'
import { kmsCheck } from '../support/kms-check.ts'
import { collection } from '../support/kubernetes.ts'
import { describeLoad, startLoad } from '../support/load.ts'
import { watchRefusals } from '../support/refusals.ts'
import { until } from '../support/until.ts'

// A plugin that makes its own socket, as in a static pod.

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'default')
const data = { value: Buffer.from('from before the outage').toString('base64') }

let cluster: EncryptedCluster

test.before(async () => {
  cluster = await startEncryptedCluster(ground, { origin: 'release' })
  await cluster.server.admin.create(secrets, { metadata: { name: 'before' }, data })
})

test.serial(
  'plugin restarts under load: no read or write fails, and the refusal window is short',
  async (t) => {
    const { plugin, server } = cluster
    const load = startLoad(t, server.admin)
    const begin = performance.now()
    const windows: number[] = []
    for (let round = 0; round < 5; round += 1) {
      const refusals = watchRefusals(t, plugin.socket, 2)
      await plugin.stop()
      await plugin.start()
      windows.push((await refusals.stop()).longestMs)
      await sleep(1000)
    }
    const report = await load.stop()
    t.log(`connections were refused for ${windows.join(', ')} ms per restart`)
    t.log(describeLoad(report, (performance.now() - begin) / 1000))
    t.deepEqual(report.failures, [])
    t.true(Math.max(...windows) > 0)
    // All of it is the time that the machine takes to start a process.
    t.true(Math.max(...windows) < 15_000)
  },
)

test.serial(
  'plugin killed for 20 s: reads of known seeds and writes go on, and it comes back',
  async (t) => {
    const { plugin, server } = cluster
    await until('the API server to be ready', async () => (await kmsCheck(server.admin)).ok, {
      timeoutMs: 60_000,
    })
    await plugin.stop('at once')
    const killed = performance.now()
    const load = startLoad(t, server.admin, { name: 'outage' })
    const failing = await until(
      'the API server to notice',
      async () => {
        const check = await kmsCheck(server.admin)
        return check.ok ? undefined : check
      },
      { timeoutMs: 40_000, everyMs: 250 },
    )
    t.log(`noticed after ${((performance.now() - killed) / 1000).toFixed(1)} s`)
    t.log(failing.text.trim().split('\n').at(-1))
    await sleep(Math.max(0, 20_000 - (performance.now() - killed)))
    t.deepEqual((await server.admin.get(secrets, 'before'))['data'], data)

    await plugin.start() // over the dead socket that the killed process left
    const back = performance.now()
    await until('the API server to be ready again', async () => (await kmsCheck(server.admin)).ok, {
      timeoutMs: 60_000,
      everyMs: 50,
    })
    const seconds = (performance.now() - back) / 1000
    const report = await load.stop()
    t.log(`ready ${seconds.toFixed(1)} s after the plugin`)
    t.log(describeLoad(report, (performance.now() - killed) / 1000))
    t.deepEqual(report.failures, [])
    // A gRPC client waits longer after each refused connection: up to about as long again.
    const awaySeconds = (back - killed) / 1000
    t.true(seconds < awaySeconds + 15)
  },
)

test.serial(
  'an API server that starts without the plugin is not ready, and gets ready when it comes',
  async (t) => {
    const { plugin, server } = cluster
    await plugin.stop()
    await server.stop()
    const starting = server.start()
    await sleep(3000)
    await plugin.start()
    await starting
    t.deepEqual((await server.admin.get(secrets, 'before'))['data'], data)
  },
)
