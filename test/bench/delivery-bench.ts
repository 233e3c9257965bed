import { createHash } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parsePlan } from '../../src/injection/parse.ts'
import { printPlan } from '../../src/injection/print.ts'
import { startApiServer, type ApiServer } from '../e2e/support/api-server.ts'
import { createAuthority, writeIdentity, type Authority } from '../e2e/support/authority.ts'
import { startChild, type Child } from '../e2e/support/child.ts'
import { createClusterIdentity } from '../e2e/support/cluster-identity.ts'
import { startEtcd } from '../e2e/support/etcd.ts'
import type { Ground } from '../e2e/support/ground.ts'
import { collection } from '../e2e/support/kubernetes.ts'
import {
  freePort,
  measureUpdates,
  reportAgents,
  settle,
  timeStart,
  type AgentFigures,
} from './agent-figures.ts'
import { brokerClients, listening } from './broker-clients.ts'
import { printTable, quantile } from './figures.ts'
import { usageOf } from './process-usage.ts'
import { measureVaultAgent } from './vault-agent-bench.ts'

const secrets = collection('v1', 'secrets', 'default')
/** As deploy/cluster/broker/deployment.yaml starts it. */
const brokerFlags = ['--max-semi-space-size=2']
const brokerEnvironment = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_TRIM_THRESHOLD_: '65536',
  MALLOC_MMAP_THRESHOLD_: '16384',
}
/** As the webhook starts it: src/webhook/inject/sidecar.ts. */
const sidecarFlags = ['--max-semi-space-size=1', '--v8-pool-size=0']
const sidecarEnvironment = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_TRIM_THRESHOLD_: '65536',
  MALLOC_MMAP_THRESHOLD_: '65536',
}

/** What the sections on delivery share: a cluster with one Secret, a broker, and who may ask it. */
interface Scene {
  readonly server: ApiServer
  readonly authority: Authority
  readonly port: number
  readonly broker: Child
  /** Path of a bundled program's launcher. */
  readonly program: (name: string) => string
  write(value: string): Promise<number>
}

const tokenOf = (pod: number): string => `bench-token-of-pod-${pod}`

/**
 * From the API server's answer to a write until it is in every pod's hands, memory and CPU of the
 * broker for as many streams, and how fast streams are accepted. Then a sidecar's start, and its
 * memory at rest and after many updates.
 */
export async function benchDelivery(
  ground: Ground,
  options: {
    readonly program: (name: string) => string
    readonly pods: readonly number[]
    readonly changes: number
    readonly updates: number
    readonly starts: number
  },
): Promise<void> {
  const scene = await setScene(ground, { ...options, pods: Math.max(...options.pods) })
  await fanOut(scene, options)
  const ours = await measureSidecar(ground, scene, options)
  const vault = await measureVaultAgent(ground, options)
  reportAgents(vault === undefined ? [ours] : [ours, vault])
}

async function setScene(
  ground: Ground,
  options: { readonly program: (name: string) => string; readonly pods: number },
): Promise<Scene> {
  const identity = await createClusterIdentity(ground)
  const etcd = await startEtcd(ground)
  const server = await startApiServer(ground, { etcd, identity })
  await server.admin.create(secrets, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'db' },
    data: { password: Buffer.from('first').toString('base64') },
  })
  const authority = await createAuthority('bench')
  const leaf = await authority.issue({
    commonName: 'broker',
    hosts: ['127.0.0.1'],
    use: ['server'],
  })
  const files = await writeIdentity(ground.dir, 'broker', leaf)
  await writeFile(join(ground.dir, 'broker-ca.pem'), authority.cert)
  const pods = Array.from({ length: options.pods + 1 }, (_, pod) => {
    const tokenSha256 = createHash('sha256').update(tokenOf(pod)).digest('hex')
    return `- {namespace: default, name: p${pod}, uid: u${pod}, account: web, tokenSha256: ${tokenSha256}}`
  })
  const permissions = join(ground.dir, 'permissions.yaml')
  await writeFile(
    permissions,
    `accounts: [{namespace: default, name: web, mount: [db]}]\npods:\n${pods.join('\n')}\n`,
    { mode: 0o600 },
  )
  const port = await freePort()
  const broker = startChild(ground, {
    name: 'broker',
    command: process.execPath,
    args: [
      ...[...brokerFlags, options.program('latchkey-broker'), '--listen', `127.0.0.1:${port}`],
      ...['--tls-cert', files.cert, '--tls-key', files.key, '--auth', `static:${permissions}`],
      ...['--source', 'kubernetes', '--kubeconfig', server.kubeconfig, '--log-level', 'warn'],
    ],
    env: brokerEnvironment,
  })
  await listening(port)
  const write = async (value: string): Promise<number> => {
    const data = { password: Buffer.from(value).toString('base64') }
    await server.admin.patch(secrets, 'db', { data })
    return performance.now()
  }
  return { server, authority, port, broker, program: options.program, write }
}

async function fanOut(
  scene: Scene,
  options: { readonly pods: readonly number[]; readonly changes: number },
): Promise<void> {
  const clients = brokerClients({
    port: scene.port,
    ca: scene.authority.cert,
    tokenOf,
    secret: 'db',
    key: 'password',
  })
  const { pid } = scene.broker
  const idle = usageOf(pid)
  /** With the first streams and all that the broker needs once, however many there are. */
  let base: { readonly count: number; readonly rssMb: number } | undefined
  const rows: string[][] = []
  for (const count of options.pods) {
    const opened = count - clients.count
    const begin = performance.now()
    await clients.grow(count)
    const perSecond = (opened / (performance.now() - begin)) * 1000
    const latencies: number[] = []
    const before = usageOf(pid).cpuMs
    for (let change = 0; change < options.changes; change += 1) {
      const value = `${count}-${change}`
      const received = clients.received(value)
      const answered = await scene.write(value)
      // A watch may be faster than the answer to the write that it is about.
      latencies.push(...(await received).map((at) => Math.max(0, at - answered)))
    }
    const { rssMb, cpuMs } = usageOf(pid)
    const further = base && ((rssMb - base.rssMb) * 1000) / (count - base.count)
    base ??= { count, rssMb }
    rows.push([
      String(count),
      quantile(latencies, 0.5).toFixed(1),
      quantile(latencies, 0.99).toFixed(1),
      quantile(latencies, 1).toFixed(1),
      perSecond.toFixed(0),
      rssMb.toFixed(0),
      further?.toFixed(0) ?? '-',
      (((cpuMs - before) * 1000) / options.changes / count).toFixed(0),
    ])
  }
  clients.close()
  printTable(
    `from the API server's answer until the pod's stream has it, ${options.changes} changes; broker idle ${idle.rssMb.toFixed(0)} MB RSS`,
    [
      [
        'pods',
        'p50 ms',
        'p99 ms',
        'last ms',
        'streams accepted/s',
        'RSS MB',
        'kB RSS/further stream',
        'CPU µs/stream/change',
      ],
      ...rows,
    ],
  )
}

async function measureSidecar(
  ground: Ground,
  scene: Scene,
  options: { readonly updates: number; readonly starts: number },
): Promise<AgentFigures> {
  const root = join(ground.dir, 'pod')
  const file = join(root, 'etc/app/db/password')
  await writeFile(join(ground.dir, 'token'), tokenOf(0), { mode: 0o600 })
  // As the webhook hands it over, which is read without a YAML parser.
  const plan = printPlan(parsePlan('[{secret: db, key: password, path: /etc/app/db/password}]'))
  await writeFile(join(ground.dir, 'plan'), plan)
  const health = await freePort()
  const start = async (): Promise<Child> => {
    await rm(root, { recursive: true, force: true })
    await mkdir(root)
    return startChild(ground, {
      name: 'sidecar',
      command: process.execPath,
      args: [
        ...[...sidecarFlags, scene.program('latchkey-sidecar')],
        ...['--broker', `127.0.0.1:${scene.port}`, '--ca', join(ground.dir, 'broker-ca.pem')],
        ...['--token', join(ground.dir, 'token'), '--secrets', join(ground.dir, 'plan')],
        ...['--root', root, '--health', `127.0.0.1:${health}`, '--log-level', 'warn'],
      ],
      env: sidecarEnvironment,
    })
  }
  const value = await current(scene)
  const startMs: number[] = []
  // The first start is not counted: at its end the compile cache is written.
  for (let count = 0; count < options.starts + 1; count += 1) {
    const child = await timeStart({ start, file, value }, startMs)
    await child.stop()
  }
  const child = await timeStart({ start, file, value }, [])
  await settle()
  const idle = usageOf(child.pid)
  const updates = await measureUpdates(child, {
    count: options.updates,
    file,
    write: (next) => scene.write(next),
  })
  await child.stop()
  return { name: 'latchkey-sidecar', startMs: startMs.slice(1), idle, ...updates }
}

async function current(scene: Scene): Promise<string> {
  const { data } = await scene.server.admin.get(secrets, 'db')
  return Buffer.from((data as { password: string }).password, 'base64').toString()
}
