import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { median, printTable } from '../../bench/figures.ts'
import { openGround } from '../../e2e/support/ground.ts'
import { memoryOf } from '../support/container-process.ts'
import { podReady } from '../support/pods.ts'
import { createShop } from '../support/shop.ts'
import { openCluster } from '../support/use-cluster.ts'
import { pod } from '../support/workload.ts'
import { listenForStarts } from './starts.ts'

// npm run bench:cluster [-- --rounds 10]
//
// What the sidecar costs a pod on a real node: time until the app's process runs, and memory. The
// yardstick is the same pod without the annotation, in turn with it. Figures are of this machine in
// this run.

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '10' } } })
const { ground, close } = openGround()
const cluster = openCluster(ground)
const namespace = 'bench'
const shop = await createShop(cluster, namespace)
await shop.put('db', { password: 'not-secret' })
await shop.grant('db')
const starts = await listenForStarts()
const secrets = '- { secret: db, key: password, path: /etc/secrets/password }'

const seconds: Record<'without' | 'with', number[]> = { without: [], with: [] }
const charged: number[] = []
const anonymous: number[] = []
for (let round = 0; round < Number(values.rounds); round += 1) {
  for (const kind of ['without', 'with'] as const) {
    const name = `${kind}-${round}`
    const containers = [{ name: 'app', command: starts.command(name) }]
    const annotated = kind === 'with' ? { secrets } : {}
    const begin = performance.now()
    await cluster.apply(pod(namespace, name, { ...annotated, user: 1234, containers }))
    seconds[kind].push((await starts.of(name)) / 1000 - begin / 1000)
    const { initContainers } = await podReady(cluster, namespace, name)
    if (kind === 'with') {
      await sleep(10_000) // what the start has left is collected meanwhile
      const memory = await memoryOf(initContainers[0]?.containerID ?? '')
      charged.push(memory.charged)
      anonymous.push(memory.anonymous)
    }
    await shop.kubectl('delete', 'pod', name)
  }
}
const row = (what: string, figures: readonly number[]): readonly string[] => [
  what,
  `${median(figures).toFixed(2)} s`,
  `${Math.min(...figures).toFixed(2)} s`,
  `${Math.max(...figures).toFixed(2)} s`,
]
printTable(`kubectl apply to the app's process, ${values.rounds} pods each`, [
  ['', 'median', 'least', 'most'],
  row('without annotation', seconds.without),
  row('with the sidecar', seconds.with),
])
const mebibytes = (figures: readonly number[]): string =>
  `${(median(figures) / 2 ** 20).toFixed(1)} MiB`
printTable('memory of an idle sidecar in its control group, ten seconds after the start', [
  ['charged', mebibytes(charged)],
  ['of that anonymous', mebibytes(anonymous)],
])
starts.close()
await close({ keep: false })
