import { printHostPort } from '../base/address.ts'
import type { Clock } from '../base/clock.ts'
import type { KubernetesClient } from '../clients/kubernetes.ts'
import { runTasks } from '../net/run-tasks.ts'
import type { AuditSink } from '../observe/audit.ts'
import { openEndpoint } from '../observe/endpoint.ts'
import { Health } from '../observe/health.ts'
import { createMetrics } from '../observe/metrics.ts'
import type { SecretSource, SourceProblem } from '../secrets/source.ts'
import type { Versioner } from '../secrets/version.ts'
import { readCaBundle, watchCaBundle } from './ca-bundle.ts'
import { Catalog } from './catalog.ts'
import type { Cluster } from './cluster.ts'
import type { BrokerConfig } from './config.ts'
import type { BrokerLog } from './events.ts'
import { createBrokerMetrics, type BrokerMetrics } from './metrics.ts'
import { createPodEvents, noPodEvents } from './pod-events.ts'
import { openBrokerServer, type BrokerServer } from './server.ts'
import { Broker } from './service.ts'
import { createTelling } from './telling.ts'

/** What makes a broker wrong about itself. */
export type BrokerFinding = 'audit' | 'draining' | 'cluster' | 'stale'

/** How a broker tells of what happens to the things it is given. */
export interface BrokerReports {
  readonly sourceProblem: SourceProblem
  readonly clusterProblem: (error: unknown) => void
  readonly auditHealth: (problem: unknown) => void
  readonly auditCheckpoint: (head: {
    readonly chain: string
    readonly seq: number
    readonly hash: string
  }) => void
}

/** What a running broker is made of. */
export interface RunDeps {
  readonly config: BrokerConfig
  readonly version: string
  readonly replica: string
  readonly log: BrokerLog
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Opens what reports its troubles while it works. */
  readonly open: (
    reports: BrokerReports,
    signal: AbortSignal,
  ) => Promise<{
    readonly source: SecretSource
    readonly cluster: Cluster
    readonly versioner: Versioner
    readonly audit: AuditSink
    /** Where Events on Pods are written; nowhere without an API server. */
    readonly events: KubernetesClient | undefined
  }>
  /** Aborted to stop: clients are sent elsewhere first. */
  readonly signal: AbortSignal
}

const heartbeatIntervalMs = 15_000
const maxStreamsPerPod = 3
const drainMs = 8_000
const stopWithinMs = 10_000
const healthEveryMs = 1_000
const staleAfterMs = 60_000

/**
 * Runs a broker until the signal.
 *
 * @throws what opening its parts throws.
 */
export async function runBroker(deps: RunDeps): Promise<void> {
  const { config, log, clock } = deps
  const end = new AbortController()
  const registry = createMetrics()
  registry.addProcessMetrics()
  const running: { broker?: Broker; server?: BrokerServer; catalog?: Catalog } = {}
  const metrics = createBrokerMetrics(registry, { version: deps.version, gauges: gauges(running) })
  const health = new Health<BrokerFinding>()
  const parts = await deps
    .open(reports({ log, metrics, health }), end.signal)
    .catch((error: unknown) => {
      end.abort()
      throw error
    })
  try {
    const catalog = (running.catalog = new Catalog(new Map([[undefined, parts.source]]), parts))
    const podEvents =
      parts.events === undefined
        ? noPodEvents
        : createPodEvents({
            client: parts.events,
            clock,
            signal: end.signal,
            replica: deps.replica,
            onResult: (result, error) => {
              metrics.podEvent(result)
              if (result === 'failed') log.warn('pod_event.failed', {}, error)
            },
          })
    const broker = (running.broker = new Broker({
      ...parts.cluster,
      ...parts,
      catalog,
      clock,
      random: deps.random,
      defer: setImmediate,
      observer: createTelling({ log, metrics, podEvents, clock }),
      onAsked: metrics.asked,
      settings: {
        rules: config.rules,
        heartbeatIntervalMs,
        replica: deps.replica,
        maxStreams: config.maxStreams,
        maxStreamsPerPod,
      },
      signal: end.signal,
    }))
    const bundle = config.tlsCa === undefined ? undefined : await readCaBundle(config.tlsCa)
    if (bundle !== undefined) broker.setCaBundle(bundle)
    const server = (running.server = await openBrokerServer(
      config.listen,
      { cert: config.tlsCert, key: config.tlsKey },
      {
        broker,
        status: { ...parts.cluster, ...parts, ...deps, catalog, streams: broker.streams },
        clock,
        maxConnections: config.maxStreams + 1_000,
        onFailure: (error) => {
          log.error('broker.internal_error', {}, error)
        },
        events: {
          identity: ({ notAfterMs }) => {
            metrics.certificate(notAfterMs)
            log.info('broker.certificate', { notAfter: new Date(notAfterMs).toISOString() })
          },
          identityProblem: (error) => {
            log.error('broker.certificate_refused', {}, error)
          },
          refused: metrics.connectionRefused,
        },
      },
    ))
    const endpoint =
      config.metrics && (await openEndpoint(config.metrics, { metrics: registry, health, log }))
    if (endpoint !== undefined) {
      log.info('broker.endpoint_listening', { address: printHostPort(endpoint.address) })
    }
    log.info('broker.listening', {
      address: printHostPort(server.address),
      source: parts.source.kind,
      auth: config.auth.kind,
      replica: deps.replica,
      version: deps.version,
    })
    const drain = async (): Promise<void> => {
      await aborted(deps.signal)
      health.report({ name: 'draining', severity: 'failing', reason: 'the broker is stopping' })
      await server.close(drainMs)
      end.abort()
    }
    await runTasks(
      [
        { name: 'streams', run: () => broker.run() },
        {
          name: 'health',
          run: () =>
            watchHealth({ broker, cluster: parts.cluster, health, clock, signal: end.signal }),
        },
        ...(bundle === undefined || config.tlsCa === undefined
          ? []
          : [
              {
                name: 'bundle',
                run: () =>
                  bundles(config.tlsCa ?? '', { bundle, broker, log, clock, signal: end.signal }),
              },
            ]),
        { name: 'drain', run: drain },
      ],
      { signal: end.signal, stopWithinMs },
    )
    await endpoint?.close()
    log.info('broker.stopped')
  } finally {
    end.abort()
    await running.server?.close(0)
    await parts.source.close()
    await parts.audit.close()
  }
}

function reports(deps: {
  readonly log: BrokerLog
  readonly metrics: BrokerMetrics
  readonly health: Health<BrokerFinding>
}): BrokerReports {
  const { log, metrics, health } = deps
  metrics.auditHealthy(true)
  return {
    sourceProblem: (error, { namespace, name }) => {
      metrics.sourceProblem()
      log.warn('source.failing', { namespace, ...(name === undefined ? {} : { name }) }, error)
    },
    clusterProblem: (error) => {
      metrics.clusterProblem()
      log.warn('cluster.failing', {}, error)
    },
    auditHealth: (problem) => {
      metrics.auditHealthy(problem === undefined)
      if (problem === undefined) {
        health.clear('audit')
        log.info('broker.audit_mended')
        return
      }
      health.report({ name: 'audit', severity: 'failing', reason: 'the audit cannot be written' })
      log.error('broker.audit_failing', {}, problem)
    },
    auditCheckpoint: (head) => {
      metrics.auditCheckpoint(head.seq)
      log.info('audit.checkpoint', { ...head })
    },
  }
}

function gauges(running: {
  readonly broker?: Broker
  readonly server?: BrokerServer
  readonly catalog?: Catalog
}): Parameters<typeof createBrokerMetrics>[1]['gauges'] {
  return {
    streams: () => running.broker?.streams.size ?? 0,
    cohorts: () => running.broker?.streams.cohorts ?? 0,
    permissions: () => running.broker?.permissions.size ?? 0,
    secrets: () => running.catalog?.size ?? 0,
    connections: () => running.server?.connections() ?? 0,
    stale: () => {
      const ages = [...(running.broker?.streams ?? [])].map((stream) => stream.staleMs())
      const stale = ages.filter((age) => age > 0)
      return { streams: stale.length, longestMs: stale.reduce((a, b) => Math.max(a, b), 0) }
    },
  }
}

async function watchHealth(deps: {
  readonly broker: Broker
  readonly cluster: Cluster
  readonly health: Health<BrokerFinding>
  readonly clock: Clock
  readonly signal: AbortSignal
}): Promise<void> {
  const { cluster, health, clock, signal } = deps
  while (!signal.aborted) {
    // An outage of the API server makes no broker useless: its pods keep what they have.
    if (cluster.authorizer.staleMs() > staleAfterMs) {
      health.report({
        name: 'cluster',
        severity: 'degraded',
        reason: 'changes of permissions are not seen',
      })
    } else health.clear('cluster')
    await clock.sleep(healthEveryMs, signal).catch(() => undefined)
  }
}

async function bundles(
  path: string,
  deps: {
    readonly bundle: Buffer
    readonly broker: Broker
    readonly log: BrokerLog
    readonly clock: Clock
    readonly signal: AbortSignal
  },
): Promise<void> {
  await watchCaBundle(path, {
    ...deps,
    current: deps.bundle,
    onChange: (next) => {
      deps.log.info('broker.ca_bundle', { bytes: next.byteLength })
      deps.broker.setCaBundle(next)
    },
    onProblem: (error) => {
      deps.log.error('broker.ca_bundle_refused', {}, error)
    },
  })
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else
      signal.addEventListener(
        'abort',
        () => {
          resolve()
        },
        { once: true },
      )
  })
}
