import type { Counter, Gauge, Histogram } from 'prom-client'
import CounterMetric from 'prom-client/lib/counter.js'
import GaugeMetric from 'prom-client/lib/gauge.js'
import HistogramMetric from 'prom-client/lib/histogram.js'
import processCpuTotal from 'prom-client/lib/metrics/processCpuTotal.js'
import processMaxFileDescriptors from 'prom-client/lib/metrics/processMaxFileDescriptors.js'
import processOpenFileDescriptors from 'prom-client/lib/metrics/processOpenFileDescriptors.js'
import processMemory from 'prom-client/lib/metrics/osMemoryHeap.js'
import processStartTime from 'prom-client/lib/metrics/processStartTime.js'
import PrometheusRegistry from 'prom-client/lib/registry.js'

/** What a metric is called and means. */
export interface MetricDefinition<Label extends string> {
  /** Prometheus name: `latchkey_<program>_<what>_<unit>`, counters ending in `_total`. */
  readonly name: string
  /** One sentence. */
  readonly help: string
  /** Label names. Values must come from small closed sets: a label never holds what a peer sent. */
  readonly labels?: readonly Label[]
}

/**
 * The metrics of one program, in a registry of its own: two programs in one process, as tests have
 * them, do not share counts.
 */
export interface Metrics {
  counter<Label extends string = never>(definition: MetricDefinition<Label>): Counter<Label>
  /** `collect`, if given, sets the gauge each time the metrics are read. */
  gauge<Label extends string = never>(
    definition: MetricDefinition<Label> & { readonly collect?: (gauge: Gauge<Label>) => void },
  ): Gauge<Label>
  /** `buckets` are upper bounds in the metric's unit, ascending. */
  histogram<Label extends string = never>(
    definition: MetricDefinition<Label> & { readonly buckets: readonly number[] },
  ): Histogram<Label>
  /** Adds the usual `process_*` metrics: CPU, memory, file descriptors, start time. */
  addProcessMetrics(): void
  /** Every metric in the Prometheus text format. */
  expose(): Promise<{ readonly contentType: string; readonly text: string }>
  /** Names and meanings of all metrics, in order of definition. */
  list(): readonly { readonly name: string; readonly help: string }[]
}

/** An empty set of metrics. */
export function createMetrics(): Metrics {
  const registry = new PrometheusRegistry()
  const common = <Label extends string>({ name, help, labels }: MetricDefinition<Label>) => ({
    name,
    help,
    labelNames: labels ?? [],
    registers: [registry],
  })
  return {
    counter: (definition) => new CounterMetric(common(definition)),
    gauge: ({ collect, ...definition }) => {
      if (collect === undefined) return new GaugeMetric(common(definition))
      const gauge = new GaugeMetric({
        ...common(definition),
        collect: () => {
          collect(gauge)
        },
      })
      return gauge
    },
    histogram: (definition) =>
      new HistogramMetric({ ...common(definition), buckets: [...definition.buckets] }),
    addProcessMetrics: () => {
      for (const add of processMetrics) add(registry)
    },
    expose: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
    list: () => registry.getMetricsAsArray().map(({ name, help }) => ({ name, help })),
  }
}

const processMetrics = [
  processCpuTotal,
  processMemory,
  processOpenFileDescriptors,
  processMaxFileDescriptors,
  processStartTime,
]
