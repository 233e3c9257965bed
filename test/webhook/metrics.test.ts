import test from 'ava'
import { createMetrics } from '../../src/observe/metrics.ts'
import { createWebhookMetrics } from '../../src/webhook/metrics.ts'
import { metricsTableFits } from '../support/metrics-table.ts'

test('the table in METRICS.md is what the program has: names, kinds, labels and meanings', async (t) => {
  const registry = createMetrics()
  const metrics = createWebhookMetrics(registry, { version: '1.2.3', inFlight: () => 7 })
  metrics.admitted('pod', { outcome: 'injected', dryRun: false, seconds: 0.002 })
  metrics.failed('busy')
  metrics.expiry('broker', 1_000_000)
  metrics.bundleWritten(2)
  const { text } = await metricsTableFits(t, 'webhook', registry)
  t.true(text.includes('latchkey_webhook_in_flight 7\n'))
})
