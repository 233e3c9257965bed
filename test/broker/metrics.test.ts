import test from 'ava'
import { createBrokerMetrics } from '../../src/broker/metrics.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { metricsTableFits } from '../support/metrics-table.ts'

test('the table in METRICS.md is what the program has: names, kinds, labels and meanings', async (t) => {
  const registry = createMetrics()
  const metrics = createBrokerMetrics(registry, {
    version: '1.2.3',
    gauges: {
      streams: () => 1,
      cohorts: () => 2,
      permissions: () => 3,
      secrets: () => 4,
      connections: () => 5,
      stale: () => ({ streams: 6, longestMs: Infinity }),
    },
  })
  metrics.opened(12)
  metrics.refused('limit')
  metrics.ended('cancelled')
  metrics.acknowledged('written')
  metrics.asked('allowed')
  metrics.decided('revoked')
  metrics.podEvent('dropped')
  metrics.connectionRefused('handshake')
  metrics.certificate(1_000)
  const { text } = await metricsTableFits(t, 'broker', registry)
  t.true(text.includes('latchkey_broker_stale_seconds 1000000000\n'))
})
