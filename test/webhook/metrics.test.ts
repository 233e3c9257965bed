import test from 'ava'
import { readFile } from 'node:fs/promises'
import { createMetrics } from '../../src/observe/metrics.ts'
import { createWebhookMetrics } from '../../src/webhook/metrics.ts'

test('the table in METRICS.md is what the program has: names, kinds, labels and meanings', async (t) => {
  const table = await readFile(new URL('../../src/webhook/METRICS.md', import.meta.url), 'utf8')
  const registry = createMetrics()
  const metrics = createWebhookMetrics(registry, { version: '1.2.3', inFlight: () => 7 })
  metrics.admitted('pod', { outcome: 'injected', dryRun: false, seconds: 0.002 })
  metrics.failed('busy')
  metrics.expiry('broker', 1_000_000)
  metrics.bundleWritten(2)
  const { text } = await registry.expose()
  const rows = [
    ...table.matchAll(/^\| `(latchkey_webhook_\w+)` \| (\w+) \|([^|]*)\| ([^|]+?) \|$/gm),
  ].map(([, name, kind, labels, help]) => ({ name, kind, labels, help }))
  t.deepEqual(
    rows.map(({ name, help }) => ({ name, help })),
    registry.list().map(({ name, help }) => ({ name, help })),
  )
  for (const { name = '', kind = '', labels = '' } of rows) {
    t.true(text.includes(`# TYPE ${name} ${kind}\n`), name)
    const declared = [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label)
    for (const [, found = ''] of text.matchAll(new RegExp(`^${name}\\{([^}]*)\\}`, 'gm'))) {
      t.deepEqual(
        [...found.matchAll(/(\w+)="/g)].map(([, label]) => label),
        declared,
      )
    }
  }
  t.true(text.includes('latchkey_webhook_in_flight 7\n'))
})
