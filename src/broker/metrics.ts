import type { Metrics } from '../observe/metrics.ts'
import type { GoodbyeReason, Outcome } from './messages.ts'

/** What the broker counts. `METRICS.md` beside this file describes each metric. */
export interface BrokerMetrics {
  readonly opened: (openMs: number) => void
  readonly refused: (reason: GoodbyeReason) => void
  readonly ended: (reason: GoodbyeReason | 'cancelled') => void
  readonly delivered: () => void
  readonly acknowledged: (outcome: Outcome) => void
  readonly asked: (result: 'allowed' | 'denied' | 'unavailable') => void
  readonly decided: (decision: 'allowed' | 'denied' | 'revoked') => void
  readonly concurrent: () => void
  readonly otherAddress: () => void
  readonly sourceProblem: () => void
  readonly clusterProblem: () => void
  readonly podEvent: (result: 'written' | 'failed' | 'dropped') => void
  readonly connectionRefused: (reason: 'handshake' | 'limit') => void
  readonly certificate: (notAfterMs: number) => void
  readonly auditHealthy: (healthy: boolean) => void
  readonly auditCheckpoint: (seq: number) => void
  readonly draining: () => void
}

/** What is looked at when metrics are asked for. */
export interface BrokerGauges {
  readonly streams: () => number
  readonly cohorts: () => number
  readonly permissions: () => number
  readonly secrets: () => number
  readonly connections: () => number
  /** How many streams are stale, and for how long the stalest, in milliseconds. */
  readonly stale: () => { readonly streams: number; readonly longestMs: number }
}

const openBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Defines the broker's metrics in `metrics`. */
export function createBrokerMetrics(
  metrics: Metrics,
  options: { readonly version: string; readonly gauges: BrokerGauges },
): BrokerMetrics {
  const { gauges } = options
  const counter = <Label extends string = never>(
    name: string,
    help: string,
    labels: readonly Label[] = [],
  ): ReturnType<typeof metrics.counter<Label>> =>
    metrics.counter<Label>({ name: `latchkey_broker_${name}`, help, labels })
  const gauge = <Label extends string = never>(
    name: string,
    help: string,
    labels: readonly Label[] = [],
  ): ReturnType<typeof metrics.gauge<Label>> =>
    metrics.gauge<Label>({ name: `latchkey_broker_${name}`, help, labels })
  const live = (name: string, help: string, value: () => number): void => {
    const collect = (its: { set(value: number): void }): void => {
      its.set(value())
    }
    metrics.gauge({ name: `latchkey_broker_${name}`, help, collect })
  }
  gauge('build_info', 'Always 1; the label is the version of the broker.', ['version']).set(
    { version: options.version },
    1,
  )
  live('streams', 'Open streams.', gauges.streams)
  live('cohorts', 'Groups of streams that get the same sets.', gauges.cohorts)
  live('permissions', 'Permissions that are kept up to date.', gauges.permissions)
  live('secrets', 'Secrets that are followed.', gauges.secrets)
  live('connections', 'Open connections, handshakes included.', gauges.connections)
  live(
    'stale_streams',
    'Streams whose sets are not known to be true at the moment.',
    () => gauges.stale().streams,
  )
  live('stale_seconds', 'Age of what the stalest stream was told.', () =>
    Math.min(gauges.stale().longestMs / 1000, 1e9),
  )
  const opened = metrics.histogram({
    name: 'latchkey_broker_open_duration_seconds',
    help: 'Time from an Open to its stream.',
    buckets: openBuckets,
  })
  const refused = counter('streams_refused_total', 'Streams that were not opened.', ['reason'])
  const ended = counter('streams_ended_total', 'Streams that have ended.', ['reason'])
  const delivered = counter('sets_sent_total', 'Sets that were sent.')
  const acknowledged = counter('acknowledgements_total', 'What clients made of sets.', ['outcome'])
  const asked = counter('permission_questions_total', 'Questions to the authorizer.', ['result'])
  const decided = counter('permission_decisions_total', 'Decisions that changed.', ['decision'])
  const concurrent = counter(
    'concurrent_streams_total',
    'Pods for which two clients spoke at a time.',
  )
  const otherAddress = counter(
    'other_address_total',
    'Clients not at their pod’s address that were served.',
  )
  const sourceProblem = counter('source_problems_total', 'Failures of the source of secrets.')
  const clusterProblem = counter('cluster_problems_total', 'Failures of watches of the API server.')
  const podEvent = counter('pod_events_total', 'Events on Pods.', ['result'])
  const connectionRefused = counter(
    'connections_refused_total',
    'Connections that ended before they began.',
    ['reason'],
  )
  const notAfter = gauge(
    'certificate_not_after_timestamp_seconds',
    'When the certificate in use ends, seconds since 1970.',
  )
  const auditHealthy = gauge(
    'audit_healthy',
    'Whether the audit can be written; nothing new is delivered while not.',
  )
  const auditCheckpoint = gauge(
    'audit_checkpoint_sequence',
    'Sequence of the last checkpoint in this process’s chain.',
  )
  const draining = gauge('draining', 'Whether the broker is stopping.')
  return {
    opened: (ms) => {
      opened.observe(ms / 1000)
    },
    refused: (reason) => {
      refused.inc({ reason })
    },
    ended: (reason) => {
      ended.inc({ reason })
    },
    delivered: () => {
      delivered.inc()
    },
    acknowledged: (outcome) => {
      acknowledged.inc({ outcome })
    },
    asked: (result) => {
      asked.inc({ result })
    },
    decided: (decision) => {
      decided.inc({ decision })
    },
    concurrent: () => {
      concurrent.inc()
    },
    otherAddress: () => {
      otherAddress.inc()
    },
    sourceProblem: () => {
      sourceProblem.inc()
    },
    clusterProblem: () => {
      clusterProblem.inc()
    },
    podEvent: (result) => {
      podEvent.inc({ result })
    },
    connectionRefused: (reason) => {
      connectionRefused.inc({ reason })
    },
    certificate: (notAfterMs) => {
      notAfter.set(notAfterMs / 1000)
    },
    auditHealthy: (healthy) => {
      auditHealthy.set(healthy ? 1 : 0)
    },
    auditCheckpoint: (seq) => {
      auditCheckpoint.set(seq)
    },
    draining: () => {
      draining.set(1)
    },
  }
}
