import { createWriteStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { spawn } from 'node:child_process'
import { readKubeconfig } from '../../src/clients/kubeconfig.ts'
import { binary } from '../e2e/support/binaries.ts'
import { startEncryptedCluster, type EncryptedCluster } from '../e2e/support/encrypted-cluster.ts'
import type { Ground } from '../e2e/support/ground.ts'
import { collection, type Kubernetes } from '../e2e/support/kubernetes.ts'
import { rotate, staleKeys, type MigrationReport } from '../e2e/support/migration.ts'
import { runProgram } from '../e2e/support/run-program.ts'
import { median, printTable } from './figures.ts'
import { barePatchLoad, type PatchTarget } from './patch-load.ts'

const connections = 32
const namespaces = 20
const [smallBytes, largeBytes, largeEvery] = [1024, 65_536, 100] as const
const hour = 3_600_000

/**
 * Rewriting stale Secrets: `latchkey etcd migrate`, a bare load of the same patches, which is the API
 * server's own ceiling, and `kubectl get | kubectl replace`, each after a rotation of its own, on one
 * API server. Starts of programs are not counted.
 */
export async function benchMigrate(
  ground: Ground,
  options: {
    readonly program: (name: string) => string
    readonly objects: number
    readonly rounds: number
  },
): Promise<void> {
  const { objects, rounds } = options
  const cluster = await startEncryptedCluster(ground, { resources: ['secrets'] })
  const targets = await fill(cluster.server.admin, objects)
  const speeds: Record<'ceiling' | 'migrate' | 'exact' | 'kubectl', number[]> = {
    ceiling: [],
    migrate: [],
    exact: [],
    kubectl: [],
  }
  for (let round = 0; round < rounds; round += 1) {
    await stale(cluster)
    const access = await readKubeconfig(cluster.server.kubeconfig)
    tell('bare patches', speeds.ceiling, await barePatchLoad(access, targets, connections))
    const id = await stale(cluster)
    tell('migrate', speeds.migrate, await migrate(ground, { ...options, cluster, args: [] }))
    await rewritten(cluster, id)
    const second = await stale(cluster)
    tell('kubectl', speeds.kubectl, await replaceAll(ground, cluster))
    await rewritten(cluster, second)
    tell('migrate --etcd', speeds.exact, await exactly(ground, { ...options, cluster }))
  }
  const kubectl = median(speeds.kubectl)
  const row = (name: string, speed: number): readonly string[] => [
    name,
    speed.toFixed(0),
    (objects / speed).toFixed(1),
    (speed / median(speeds.ceiling)).toFixed(2),
    (speed / kubectl).toFixed(1),
  ]
  printTable(
    `Rewriting ${objects} stale Secrets (${smallBytes} bytes, every ${largeEvery}th ${largeBytes}), program start excluded, median of ${rounds}`,
    [
      ['', 'objects/s', 'seconds', '÷ ceiling', '÷ kubectl'],
      row(`bare patches, ${connections} connections`, median(speeds.ceiling)),
      row('latchkey etcd migrate', median(speeds.migrate)),
      row('latchkey etcd migrate --etcd', median(speeds.exact)),
      row('kubectl get | kubectl replace', kubectl),
    ],
  )
}

/** Long rounds: each figure is shown as it is there. */
function tell(what: string, speeds: number[], speed: number): void {
  speeds.push(speed)
  console.log(`  ${what}: ${speed.toFixed(0)} objects/s`)
}

/** Makes the Secrets, and returns what patches of them need. */
async function fill(api: Kubernetes, objects: number): Promise<readonly PatchTarget[]> {
  for (let number = 0; number < namespaces; number += 1) {
    await api.create(collection('v1', 'namespaces'), { metadata: { name: `bench-${number}` } })
  }
  const [small, large] = [smallBytes, largeBytes].map((size) =>
    Buffer.alloc(size, 'x').toString('base64'),
  )
  const targets: PatchTarget[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (;;) {
      const number = (next += 1)
      if (number > objects) return
      const path = collection('v1', 'secrets', `bench-${number % namespaces}`)
      const name = `secret-${number}`
      const value = number % largeEvery === 0 ? large : small
      const made = await api.create(path, { metadata: { name }, data: { value } })
      targets.push({ path: `${path}/${name}`, uid: made.metadata.uid ?? '' })
    }
  }
  await Promise.all(Array.from({ length: connections }, worker))
  return targets
}

/** Rotates, so that every Secret is stale. */
async function stale(cluster: EncryptedCluster): Promise<string> {
  return await rotate(cluster)
}

async function rewritten(cluster: EncryptedCluster, id: string): Promise<void> {
  const left = await staleKeys(cluster, '/registry/secrets/bench-', id)
  if (left.length > 0) throw new Error(`${left.length} objects were not rewritten`)
}

async function migrate(
  ground: Ground,
  options: {
    readonly program: (name: string) => string
    readonly cluster: EncryptedCluster
    readonly objects: number
    readonly args: readonly string[]
  },
): Promise<number> {
  const { kubeconfig } = options.cluster.server
  const ran = await runProgram(ground, {
    command: process.execPath,
    args: [
      options.program('latchkey'),
      ...['etcd', 'migrate', '--kubeconfig', kubeconfig, '--resource', 'secrets', '-o', 'json'],
      ...options.args,
    ],
    timeoutMs: hour,
  })
  if (ran.code !== 0) throw new Error(ran.stderr)
  const report = JSON.parse(ran.stdout.trimEnd().split('\n').at(-1) ?? '') as MigrationReport
  const done = report.resources[0]?.rewritten ?? 0
  if (done < options.objects) throw new Error(`only ${done} objects were rewritten`)
  return done / report.seconds
}

/** With a look into etcd before and after. */
async function exactly(
  ground: Ground,
  options: {
    readonly program: (name: string) => string
    readonly cluster: EncryptedCluster
    readonly objects: number
  },
): Promise<number> {
  const id = await stale(options.cluster)
  const { endpoints, clientFiles } = options.cluster.etcd
  return await migrate(ground, {
    ...options,
    args: [
      ...['--etcd', endpoints.join(','), '--etcd-ca', clientFiles.ca, '--expect-only', id],
      ...['--etcd-cert', clientFiles.cert, '--etcd-key', clientFiles.key],
    ],
  })
}

/** `kubectl get secrets -A -o json | kubectl replace -f -`; objects a second. */
async function replaceAll(ground: Ground, cluster: EncryptedCluster): Promise<number> {
  const kubectl = await binary('kubectl')
  const kubeconfig = ['--kubeconfig', cluster.server.kubeconfig]
  const starts: number[] = []
  for (let start = 0; start < 5; start += 1) {
    const begin = performance.now()
    await runProgram(ground, { command: kubectl, args: ['version', '--client'] })
    starts.push(performance.now() - begin)
  }
  const file = join(ground.dir, 'secrets.json')
  const begin = performance.now()
  const got = spawn(kubectl, [...kubeconfig, 'get', 'secrets', '-A', '-o', 'json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await finished(got.stdout.pipe(createWriteStream(file)))
  const input = await open(file)
  const replaced = spawn(kubectl, [...kubeconfig, 'replace', '-f', '-'], {
    stdio: [input.fd, 'pipe', 'inherit'],
  })
  let lines = 0
  replaced.stdout?.on('data', (chunk: Buffer) => {
    lines += chunk.toString('latin1').split('\n').length - 1
  })
  const code = await new Promise<number | null>((resolve) => replaced.once('close', resolve))
  const seconds = (performance.now() - begin - 2 * median(starts)) / 1000
  await input.close()
  if (code !== 0) throw new Error(`kubectl replace ended with ${code ?? 'a signal'}`)
  return lines / seconds
}
