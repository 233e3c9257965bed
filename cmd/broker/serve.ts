import { hostname } from 'node:os'
import { systemClock } from '../../src/base/clock.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { createRandomPool } from '../../src/base/random.ts'
import {
  openKubernetesCluster,
  openStaticCluster,
  type Cluster,
  type ClusterDeps,
} from '../../src/broker/cluster.ts'
import type { BrokerConfig } from '../../src/broker/config.ts'
import type { BrokerEvent, BrokerLog } from '../../src/broker/events.ts'
import type { BrokerReports } from '../../src/broker/reports.ts'
import { runBroker, type RunDeps } from '../../src/broker/run.ts'
import { systemDisk } from '../../src/clients/disk.ts'
import { createKubernetesClient, type KubernetesClient } from '../../src/clients/kubernetes.ts'
import { inClusterAccess, serviceAccountDirectory } from '../../src/clients/kubernetes-access.ts'
import { createVersioner } from '../../src/secrets/version.ts'
import { openSource, parseSourceSpec } from '../../src/secrets/sources/open.ts'
import { openBufferedLog } from '../buffered-log.ts'
import { processUid } from '../process-context.ts'
import { version } from '../version.ts'
import { openAudit } from './open-audit.ts'
import { readKey } from './read-key.ts'

/** Runs the broker with this process's files, sockets, clock and log, until the signal. */
export async function serveBroker(
  config: BrokerConfig,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const { log, flush } = openBufferedLog<BrokerEvent>({
    program: 'latchkey-broker',
    level: config.logLevel,
  })
  const replica = hostname()
    .replaceAll(/[^\x21-\x7e]/g, '?')
    .slice(0, 64)
  try {
    await runBroker({
      config,
      version,
      replica,
      log,
      clock: systemClock,
      random: Math.random,
      signal,
      open: (reports, end) => openParts(config, { reports, signal: end, log, replica }),
    })
  } finally {
    await flush()
  }
}

interface PartsDeps {
  readonly reports: BrokerReports
  readonly signal: AbortSignal
  readonly log: BrokerLog
  readonly replica: string
}

async function openParts(
  config: BrokerConfig,
  { reports, signal, log, replica }: PartsDeps,
): ReturnType<RunDeps['open']> {
  const random = createRandomPool()
  let client: Promise<KubernetesClient> | undefined
  const kubernetes = (): Promise<KubernetesClient> => (client ??= connect(config, signal))
  const common = {
    clock: systemClock,
    disk: systemDisk,
    random,
    uid: processUid,
    cwd: process.cwd(),
    now: () => systemClock.now(),
  }
  const { source, versionKey } = await openSource(parseSourceSpec(config.source), {
    storeRoot: config.storeRoot,
    deps: { ...common, random01: Math.random, onProblem: reports.sourceProblem, kubernetes },
  })
  try {
    const cluster = await openCluster(config, {
      deps: { ...common, random: Math.random, signal, onProblem: reports.clusterProblem },
      kubernetes,
      log,
    })
    const configured =
      config.versionKey === undefined ? versionKey : await readKey(config.versionKey)
    if (configured === undefined) log.warn('broker.version_key_own')
    const versioner = createVersioner(configured ?? SecretBytes.take(random(32)))
    const audit = await openAudit(config, { reports, log, replica, random })
    const events = config.auth.kind === 'kubernetes' ? await kubernetes() : undefined
    return { source, cluster, versioner, audit, events }
  } catch (error) {
    // An open watch would keep a process alive that has nothing left to do.
    await source.close()
    throw error
  }
}

async function openCluster(
  config: BrokerConfig,
  options: {
    readonly deps: ClusterDeps
    readonly kubernetes: () => Promise<KubernetesClient>
    readonly log: BrokerLog
  },
): Promise<Cluster> {
  const { deps, log } = options
  const { auth, audience } = config
  if (auth.kind === 'kubernetes') {
    return openKubernetesCluster(await options.kubernetes(), { audience, deps })
  }
  return openStaticCluster(auth.file, {
    uid: processUid,
    deps: {
      ...deps,
      onProblem: (error) => {
        log.error('broker.static_file_refused', {}, error)
      },
    },
    onReplaced: () => {
      log.info('broker.static_file')
    },
  })
}

async function connect(config: BrokerConfig, signal: AbortSignal): Promise<KubernetesClient> {
  const { kubeconfig } = config
  const access =
    kubeconfig === undefined
      ? inClusterAccess({
          host: process.env['KUBERNETES_SERVICE_HOST'],
          port: process.env['KUBERNETES_SERVICE_PORT'],
          directory: serviceAccountDirectory,
        })
      : await (await import('../../src/clients/kubeconfig.ts')).readKubeconfig(kubeconfig)
  // Read once now: what is wrong with it is better said before anything is served.
  await access.credentials()
  const client = createKubernetesClient(access, { clock: systemClock })
  signal.addEventListener(
    'abort',
    () => {
      client.close()
    },
    { once: true },
  )
  return client
}
