import { printHostPort } from '../base/address.ts'
import type { Clock } from '../base/clock.ts'
import type { KubernetesClient } from '../clients/kubernetes.ts'
import { runTasks } from '../net/run-tasks.ts'
import type { AuditSink } from '../observe/audit.ts'
import { openEndpoint } from '../observe/endpoint.ts'
import { Health } from '../observe/health.ts'
import { createMetrics } from '../observe/metrics.ts'
import type { SecretSource } from '../secrets/source.ts'
import type { Versioner } from '../secrets/version.ts'
import { readCaBundle } from './ca-bundle.ts'
import { Catalog } from './catalog.ts'
import type { Cluster } from './cluster.ts'
import type { BrokerConfig } from './config.ts'
import type { BrokerLog } from './events.ts'
import { runningGauges, type Running } from './gauges.ts'
import { createBrokerMetrics, type BrokerMetrics } from './metrics.ts'
import { createPodEvents, noPodEvents, type PodEvents } from './pod-events.ts'
import { createReports, type BrokerFinding, type BrokerReports } from './reports.ts'
import { openBrokerServer } from './server.ts'
import { Broker } from './service.ts'
import { statusLimits } from './status.ts'
import { createTelling } from './telling.ts'
import { distributeBundles, watchHealth } from './upkeep.ts'

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
  const running: Running = {}
  const gauges = runningGauges(running)
  const metrics = createBrokerMetrics(registry, { version: deps.version, gauges })
  const health = new Health<BrokerFinding>()
  const parts = await deps
    .open(createReports({ log, metrics, health }), end.signal)
    .catch((error: unknown) => {
      end.abort()
      throw error
    })
  try {
    const catalog = (running.catalog = new Catalog(new Map([[undefined, parts.source]]), parts))
    const podEvents = openPodEvents(parts.events, { ...deps, metrics, signal: end.signal })
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
        status: {
          ...{ ...parts.cluster, ...parts, ...deps, catalog, streams: broker.streams },
          ...statusLimits(clock),
        },
        clock,
        maxStreams: config.maxStreams,
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
          run: () => watchHealth({ cluster: parts.cluster, health, clock, signal: end.signal }),
        },
        ...(bundle === undefined || config.tlsCa === undefined
          ? []
          : [
              {
                name: 'bundle',
                run: () =>
                  distributeBundles(config.tlsCa ?? '', {
                    ...{ bundle, broker, log, clock },
                    signal: end.signal,
                  }),
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

function openPodEvents(
  client: KubernetesClient | undefined,
  deps: {
    readonly metrics: BrokerMetrics
    readonly log: BrokerLog
    readonly clock: Clock
    readonly replica: string
    readonly signal: AbortSignal
  },
): PodEvents {
  if (client === undefined) return noPodEvents
  const { metrics, log } = deps
  return createPodEvents({
    ...deps,
    client,
    onResult: (result, error) => {
      metrics.podEvent(result)
      if (result === 'failed') log.warn('pod_event.failed', {}, error)
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
