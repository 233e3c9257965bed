import type { Catalog } from './catalog.ts'
import type { createBrokerMetrics } from './metrics.ts'
import type { BrokerServer } from './server.ts'
import type { Broker } from './service.ts'

/** Parts of a broker, from when there are any. */
export interface Running {
  broker?: Broker
  server?: BrokerServer
  catalog?: Catalog
}

/** What is counted when somebody looks. */
export function runningGauges(
  running: Readonly<Running>,
): Parameters<typeof createBrokerMetrics>[1]['gauges'] {
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
