import test from 'ava'
import { readFile } from 'node:fs/promises'
import { SidecarMetrics } from '../../src/sidecar/metrics.ts'

test('the table in METRICS.md is what the program has: names, kinds and meanings', async (t) => {
  const table = await readFile(new URL('../../src/sidecar/METRICS.md', import.meta.url), 'utf8')
  const rows = [
    ...table.matchAll(/^\| `(latchkey_sidecar_\w+)` \| (\w+) \|[^|]*\| ([^|]+?) \|$/gm),
  ].flatMap(([, name = '', kind = '', help = '']) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${kind}`,
  ])
  t.deepEqual(`${rows.join('\n')}\n`, new SidecarMetrics().text())
})

test('a label is part of a series', (t) => {
  const metrics = new SidecarMetrics()
  metrics.count('hooks_total', 'outcome="done"')
  metrics.count('hooks_total', 'outcome="done"')
  metrics.set('ready', 1)
  t.true(metrics.text().includes('latchkey_sidecar_hooks_total{outcome="done"} 2\n'))
  t.true(metrics.text().includes('latchkey_sidecar_ready 1\n'))
})
