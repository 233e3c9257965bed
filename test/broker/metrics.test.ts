import test from 'ava'
import { readFile } from 'node:fs/promises'
import { createBrokerMetrics } from '../../src/broker/metrics.ts'
import { createMetrics } from '../../src/observe/metrics.ts'

test('the table in METRICS.md is what the program has: names, kinds, labels and meanings', async (t) => {
  const table = await readFile(new URL('../../src/broker/METRICS.md', import.meta.url), 'utf8')
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
  const { text } = await registry.expose()
  const rows = [
    ...table.matchAll(/^\| `(latchkey_broker_\w+)` \| (\w+) \|([^|]*)\| ([^|]+?) \|$/gm),
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
  t.true(text.includes('latchkey_broker_stale_seconds 1000000000\n'))
})
