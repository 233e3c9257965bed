/** What a metric is called and means; names as the programs with a metrics library have them. */
interface Definition {
  readonly type: 'counter' | 'gauge'
  readonly help: string
}

const definitions = {
  connected: { type: 'gauge', help: 'Whether a stream to a broker is open.' },
  started: { type: 'gauge', help: 'Whether every file of the plan was once published.' },
  ready: { type: 'gauge', help: 'Whether every file of the plan is in place now.' },
  stale_seconds: {
    type: 'gauge',
    help: 'Seconds since everything that is published was last known to be right.',
  },
  entries: { type: 'gauge', help: 'Entries of the plan by what is known of their secret.' },
  files_waiting_for_restart: {
    type: 'gauge',
    help: 'Bound files whose newer value waits for the pod to start anew.',
  },
  hooks_due: { type: 'gauge', help: 'Hooks that have not succeeded since their files changed.' },
  connections_total: { type: 'counter', help: 'Attempts to open a stream, by outcome.' },
  sets_total: { type: 'counter', help: 'Sets of secrets that came from a broker.' },
  publications_total: { type: 'counter', help: 'Directories and bound files that changed.' },
  publication_failures_total: {
    type: 'counter',
    help: 'Publications that failed, by the code of the error.',
  },
  repairs_total: {
    type: 'counter',
    help: 'Times that links, modes or groups had to be put right.',
  },
  hooks_total: { type: 'counter', help: 'Runs of hooks, by outcome.' },
  resident_memory_bytes: { type: 'gauge', help: 'Resident memory of this process.' },
  last_publication_timestamp_seconds: {
    type: 'gauge',
    help: 'When files last changed, seconds since 1970.',
  },
} as const satisfies Record<string, Definition>

/** Names of metrics, without their prefix. */
export type MetricName = keyof typeof definitions

const prefix = 'latchkey_sidecar_'

/**
 * The sidecar's metrics in Prometheus' text format, by hand: a metrics library would cost every pod
 * 4 MB. Each metric has at most one label, with values from a small closed set.
 */
export class SidecarMetrics {
  readonly #values = new Map<MetricName, Map<string, number>>()

  /** Adds one to a counter. */
  count(name: MetricName, label = ''): void {
    const values = this.#of(name)
    values.set(label, (values.get(label) ?? 0) + 1)
  }

  /** Sets a gauge; `label` as in `state="ready"`. */
  set(name: MetricName, value: number, label = ''): void {
    this.#of(name).set(label, value)
  }

  /** Everything, for a scrape. */
  text(): string {
    const lines: string[] = []
    for (const [name, { type, help }] of Object.entries(definitions)) {
      lines.push(`# HELP ${prefix}${name} ${help}`, `# TYPE ${prefix}${name} ${type}`)
      for (const [label, value] of this.#values.get(name as MetricName) ?? []) {
        lines.push(`${prefix}${name}${label === '' ? '' : `{${label}}`} ${value}`)
      }
    }
    return `${lines.join('\n')}\n`
  }

  #of(name: MetricName): Map<string, number> {
    const values = this.#values.get(name) ?? new Map<string, number>()
    this.#values.set(name, values)
    return values
  }
}
