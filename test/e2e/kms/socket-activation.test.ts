import test from 'ava'
import { setTimeout as sleep } from 'node:timers/promises'
import { startDirectLoad } from '../support/direct-load.ts'
import { identityProvider, kmsProvider } from '../support/encryption-config.ts'
import { connectKms } from '../support/kms-client.ts'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { useGround } from '../support/ground.ts'
import { kmsCheck } from '../support/kms-check.ts'
import { collection } from '../support/kubernetes.ts'
import { describeLoad, startLoad } from '../support/load.ts'
import { watchRefusals } from '../support/refusals.ts'
import { type SocketActivated, startSocketActivated } from '../support/socket-activated.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'default')

/**
 * How long calls wait. Here it is shown that they wait, and for the process alone; how long a busy
 * machine takes to start one is logged.
 */
const patienceSeconds = 30

let cluster: EncryptedCluster<SocketActivated>

test.before(async () => {
  cluster = await startEncryptedCluster(ground, {
    startPlugin: startSocketActivated,
    origin: 'release',
    providers: (socket) => [
      kmsProvider(socket, 'latchkey', `${patienceSeconds}s`),
      identityProvider,
    ],
  })
})

/** Waits until the plugin answers, and resolves with the milliseconds since `since`. */
async function answers(since: number): Promise<number> {
  const client = await connectKms(cluster.plugin.socket, 1_000 * patienceSeconds)
  try {
    await client.status()
  } finally {
    client.close()
  }
  return performance.now() - since
}

test.serial(
  'plugin restarts under load: no call fails, nothing is refused, the API server stays ready',
  async (t) => {
    const { plugin, server, keyring } = cluster
    const load = startLoad(t, server.admin)
    const direct = startDirectLoad(t, plugin.socket, { timeoutMs: 1_000 * patienceSeconds })
    const refusals = watchRefusals(t, plugin.socket, 20)
    const begin = performance.now()
    const unready: string[] = []
    const checks = new AbortController()
    const checking = (async () => {
      while (!checks.signal.aborted) {
        const { ok, text } = await kmsCheck(server.admin)
        if (!ok) unready.push(text)
        await sleep(200)
      }
    })()

    const windows: number[] = []
    const before = plugin.processes()
    for (let round = 0; round < 12; round += 1) {
      // New keys in between, so that the API server has an Encrypt to make as well.
      if (round % 4 === 3) {
        await keyring.stage()
        await keyring.activate()
      }
      const since = performance.now()
      await plugin.restart()
      windows.push(Math.round(await answers(since)))
      await sleep(1500)
    }
    t.is(plugin.processes() - before, 12)

    checks.abort()
    await checking
    const seconds = (performance.now() - begin) / 1000
    const [reports, refused] = [
      await Promise.all([load.stop(), direct.stop()]),
      await refusals.stop(),
    ]
    t.log(`from each restart to an answer: ${windows.join(', ')} ms`)
    t.log(
      `12 restarts in ${seconds.toFixed(0)} s; ${refused.attempts} connections, ${refused.refused} refused`,
    )
    t.log(`through the API server: ${describeLoad(reports[0], seconds)}`)
    t.log(`to the plugin: ${describeLoad(reports[1], seconds)}`)
    t.deepEqual(reports[0].failures, [])
    t.deepEqual(reports[1].failures, [])
    t.is(refused.refused, 0)
    t.deepEqual(unready, [])
  },
)

test.serial(
  'an API server that starts while the plugin is away waits in the queue of its socket',
  async (t) => {
    const { plugin, server } = cluster
    const { items } = await server.admin.list(secrets)
    await server.stop()
    await plugin.crash()
    const starting = server.start()
    await sleep(2000)
    await plugin.resume()
    await starting
    t.deepEqual(
      (await server.admin.list(secrets)).items.map(({ metadata }) => metadata.name),
      items.map(({ metadata }) => metadata.name),
    )
  },
)

test.serial(
  'a plugin that was killed is back for the API server as soon as it runs again',
  async (t) => {
    const { plugin, server } = cluster
    t.true((await kmsCheck(server.admin)).ok)
    await plugin.crash()
    const crashed = performance.now()
    const load = startLoad(t, server.admin, { name: 'crashed' })
    await until('the API server to notice', async () => !(await kmsCheck(server.admin)).ok, {
      timeoutMs: 60_000,
      everyMs: 250,
    })
    await sleep(5000)
    const resumed = performance.now()
    await plugin.resume()
    const startMs = await answers(resumed)
    const back = performance.now()
    await until('the API server to be ready', async () => (await kmsCheck(server.admin)).ok, {
      timeoutMs: 30_000,
      everyMs: 20,
    })
    const seconds = (performance.now() - back) / 1000
    const report = await load.stop()
    t.log(`the process answered after ${startMs.toFixed(0)} ms`)
    t.log(`ready ${seconds.toFixed(1)} s after that`)
    t.log(describeLoad(report, (performance.now() - crashed) / 1000))
    t.deepEqual(report.failures, [])
    // The API server itself keeps a failed check for 3 s. A client that had been refused connections
    // would wait about as long as they were.
    t.true(seconds < 10)
  },
)
