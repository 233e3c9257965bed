import type { ExecutionContext } from 'ava'
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs/promises'
import { createRandomPool } from '../../src/base/random.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { openKubernetesCluster, openStaticCluster, type Cluster } from '../../src/broker/cluster.ts'
import { readBrokerCommand, type BrokerConfig } from '../../src/broker/config.ts'
import type { BrokerEvent } from '../../src/broker/events.ts'
import type { BrokerReports } from '../../src/broker/reports.ts'
import { runBroker, type RunDeps } from '../../src/broker/run.ts'
import { systemDisk } from '../../src/clients/disk.ts'
import { createKubernetesClient, type KubernetesClient } from '../../src/clients/kubernetes.ts'
import { noAudit } from '../../src/observe/audit.ts'
import { openAuditFile, type AuditFile } from '../../src/observe/audit-file.ts'
import { createAuditKey } from '../../src/observe/audit-key.ts'
import { openAuditLog, type AuditLimits } from '../../src/observe/audit-log.ts'
import { createVersioner } from '../../src/secrets/version.ts'
import { openSource, parseSourceSpec } from '../../src/secrets/sources/open.ts'
import { createAuthority, writeIdentity, type Authority } from '../e2e/support/authority.ts'
import { until } from '../e2e/support/until.ts'
import type { FakeKubernetes } from './fake-kubernetes.ts'
import { loopClock } from './loop-clock.ts'
import { recordedLog } from './recorded-log.ts'
import { temporaryDirectory } from './secret-store.ts'

/** A broker in this process: everything real but, for some, the API server. */
export interface TestBroker {
  readonly host: string
  readonly port: number
  readonly ca: string
  readonly directory: string
  readonly log: ReturnType<typeof recordedLog<BrokerEvent>>
  /** Lines of the audit so far. */
  audit(): Promise<readonly Readonly<Record<string, unknown>>[]>
  metrics(): Promise<string>
  ready(): Promise<number>
  stop(): Promise<void>
}

/** What a test wants of its broker. */
export interface TestBrokerOptions {
  /** An API server; without one the broker has the static file `auth.yaml` in `directory`. */
  readonly kubernetes?: FakeKubernetes
  /** Where certificates, static file, store and audit are; a fresh one by default. */
  readonly directory?: string
  readonly authority?: Authority
  /** More names in its certificate. */
  readonly hosts?: readonly string[]
  /** More flags. */
  readonly flags?: readonly string[]
  /** Between the audit and its file. */
  readonly auditFile?: (file: AuditFile) => AuditFile
  readonly auditLimits?: Partial<AuditLimits>
}

const versionKey = randomBytes(32)

/** Starts a broker; it stops with the test. */
export async function startBroker(
  t: ExecutionContext,
  options: TestBrokerOptions,
): Promise<TestBroker> {
  const directory = options.directory ?? (await temporaryDirectory(t))
  const authority = options.authority ?? (await createAuthority('authority'))
  const subject = {
    commonName: 'broker',
    hosts: ['127.0.0.1', 'localhost', ...(options.hosts ?? [])],
    use: ['server' as const],
  }
  const files = await writeIdentity(directory, 'tls', await authority.issue(subject))
  const auth = options.kubernetes === undefined ? `static:${directory}/auth.yaml` : 'kubernetes'
  const source =
    options.kubernetes === undefined
      ? [`file:${directory}/data/store`, '--store-root', `file:${directory}/root/store.root`]
      : ['kubernetes']
  const command = await readBrokerCommand(
    [
      ...['--listen', '127.0.0.1:0', '--metrics', '127.0.0.1:0'],
      ...['--tls-cert', files.cert, '--tls-key', files.key],
      ...['--source', ...source],
      ...['--auth', auth, '--audit', `${directory}/audit.jsonl`],
      ...(options.flags ?? []),
    ],
    { readText: (path) => fs.readFile(path, 'utf8') },
  )
  if (command.kind !== 'serve') throw new Error('unreachable')
  const { config } = command
  const log = recordedLog<BrokerEvent>()
  const stop = new AbortController()
  const running = runBroker({
    config,
    version: '0.0.0-test',
    replica: 'replica-1',
    log: log.log,
    clock: loopClock,
    random: Math.random,
    open: (reports, signal) => openParts(config, { reports, signal, options }),
    signal: stop.signal,
  })
  let failure: unknown
  running.catch((error: unknown) => (failure = error))
  const stopped = async (): Promise<void> => {
    stop.abort()
    await running
  }
  t.teardown(() => stopped().catch(() => undefined))
  await until(
    'the broker to listen',
    () => {
      if (failure !== undefined) throw failure as Error
      return log.of('broker.listening').length > 0
    },
    { timeoutMs: 40_000, everyMs: 5 },
  ).catch((error: unknown) => {
    throw failure ?? error
  })
  const portOf = (event: BrokerEvent): number =>
    Number(String(log.of(event)[0]?.fields['address']).split(':')[1])
  const fetchText = (path: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${portOf('broker.endpoint_listening')}${path}`)
  return {
    host: '127.0.0.1',
    port: portOf('broker.listening'),
    ca: authority.cert,
    directory,
    log,
    audit: async () => {
      if (config.audit === undefined) return []
      const text = await fs.readFile(config.audit, 'utf8')
      const lines = text.split('\n').filter((line) => line !== '')
      return lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    },
    metrics: async () => (await fetchText('/metrics')).text(),
    ready: async () => (await fetchText('/readyz')).status,
    stop: stopped,
  }
}

async function openParts(
  config: BrokerConfig,
  deps: {
    readonly reports: BrokerReports
    readonly signal: AbortSignal
    readonly options: TestBrokerOptions
  },
): ReturnType<RunDeps['open']> {
  const { reports, signal, options } = deps
  const random = createRandomPool()
  const client =
    options.kubernetes && createKubernetesClient(options.kubernetes.access, { clock: loopClock })
  signal.addEventListener('abort', () => client?.close(), { once: true })
  const kubernetes = async (): Promise<KubernetesClient> => {
    if (client === undefined) throw new Error('no API server')
    return client
  }
  const common = {
    clock: loopClock,
    disk: systemDisk,
    random,
    uid: process.getuid?.() ?? 0,
    cwd: '/',
    now: () => Date.now(),
  }
  const { source } = await openSource(parseSourceSpec(config.source), {
    storeRoot: config.storeRoot,
    deps: { ...common, random01: Math.random, onProblem: reports.sourceProblem, kubernetes },
  })
  const clusterDeps = { ...common, random: Math.random, signal, onProblem: reports.clusterProblem }
  const cluster: Cluster =
    config.auth.kind === 'static'
      ? await openStaticCluster(config.auth.file, {
          ...common,
          deps: clusterDeps,
          onReplaced: () => undefined,
        })
      : await openKubernetesCluster(await kubernetes(), { ...config, deps: clusterDeps })
  const { audit: path } = config
  const audit =
    path === undefined
      ? noAudit
      : await openAuditLog({
          open: async () => (options.auditFile ?? ((file) => file))(await openAuditFile(path)),
          clock: loopClock,
          random,
          key: createAuditKey(),
          program: 'latchkey-broker',
          replica: 'replica-1',
          onCheckpoint: reports.auditCheckpoint,
          onHealth: reports.auditHealth,
          limits: { tickMs: 50, ...options.auditLimits },
        })
  return {
    source,
    cluster,
    versioner: createVersioner(SecretBytes.copyOf(versionKey)),
    audit,
    events: client,
  }
}

/** Hash of a token as a static file has it. */
export function tokenDigest(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
