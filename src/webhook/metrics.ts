import type { Metrics } from '../observe/metrics.ts'
import type { Outcome } from './decision.ts'

/** Resources whose requests are told apart; all workloads are one. */
export type AdmittedKind = 'pod' | 'workload'

/** What the webhook counts. */
export interface WebhookMetrics {
  readonly admitted: (
    kind: AdmittedKind,
    decision: { readonly outcome: Outcome; readonly dryRun: boolean; readonly seconds: number },
  ) => void
  /** A request that could not be answered with a decision. */
  readonly failed: (reason: 'invalid' | 'too-large' | 'timeout' | 'busy' | 'internal') => void
  /** Ends of the certificates and of the newest authority, seconds since 1970. */
  readonly expiry: (what: 'webhook' | 'broker' | 'authority', notAfterMs: number) => void
  /** An entry of a webhook configuration got the bundle that it lacked. */
  readonly bundleWritten: (entries: number) => void
}

const buckets = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5]

/** Defines the webhook's metrics in `metrics`. */
export function createWebhookMetrics(
  metrics: Metrics,
  options: { readonly version: string; readonly inFlight: () => number },
): WebhookMetrics {
  metrics
    .gauge({
      name: 'latchkey_webhook_build_info',
      help: 'Always 1; the label is the version of the webhook.',
      labels: ['version'],
    })
    .set({ version: options.version }, 1)
  const admitted = metrics.counter({
    name: 'latchkey_webhook_admissions_total',
    help: 'Decisions, by what they were about and what came of it.',
    labels: ['kind', 'outcome', 'dry_run'],
  })
  const duration = metrics.histogram({
    name: 'latchkey_webhook_admission_duration_seconds',
    help: 'Time from the end of a request to the answer.',
    labels: ['kind'],
    buckets,
  })
  const failed = metrics.counter({
    name: 'latchkey_webhook_failures_total',
    help: 'Requests that were answered without a decision, by reason.',
    labels: ['reason'],
  })
  metrics.gauge({
    name: 'latchkey_webhook_in_flight',
    help: 'Requests that are being answered.',
    collect: (gauge) => {
      gauge.set(options.inFlight())
    },
  })
  const expiry = metrics.gauge({
    name: 'latchkey_webhook_certificate_expiry_timestamp_seconds',
    help: 'When a certificate ends.',
    labels: ['certificate'],
  })
  const written = metrics.counter({
    name: 'latchkey_webhook_bundle_writes_total',
    help: 'Entries of webhook configurations that this replica gave the bundle they lacked.',
  })
  return {
    admitted: (kind, { outcome, dryRun, seconds }) => {
      admitted.inc({ kind, outcome, dry_run: String(dryRun) })
      duration.observe({ kind }, seconds)
    },
    failed: (reason) => {
      failed.inc({ reason })
    },
    expiry: (certificate, notAfterMs) => {
      expiry.set({ certificate }, Math.floor(notAfterMs / 1000))
    },
    bundleWritten: (entries) => {
      written.inc(entries)
    },
  }
}
