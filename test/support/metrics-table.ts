import type { ExecutionContext } from 'ava'
import { readFile } from 'node:fs/promises'
import type { Metrics } from '../../src/observe/metrics.ts'

/**
 * Holds the table in the METRICS.md of `src/<program>` against the program's registry: names, kinds,
 * labels and meanings, in order. Labels are looked up in the series there are, so each metric that
 * has some should have been counted once. Returns the table and the metrics as they are exposed.
 */
export async function metricsTableFits(
  t: ExecutionContext,
  program: string,
  registry: Metrics,
): Promise<{ readonly table: string; readonly text: string }> {
  const file = new URL(`../../src/${program}/METRICS.md`, import.meta.url)
  const table = await readFile(file, 'utf8')
  const { text } = await registry.expose()
  const row = new RegExp(
    `^\\| \`(latchkey_${program}_\\w+)\` \\| (\\w+) \\|([^|]*)\\| ([^|]+?) \\|$`,
    'gm',
  )
  const rows = [...table.matchAll(row)].map(([, name = '', kind = '', labels = '', help = '']) => ({
    ...{ name, kind, help },
    labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label),
  }))
  t.deepEqual(
    rows.map(({ name, help }) => ({ name, help })),
    registry.list().map(({ name, help }) => ({ name, help })),
  )
  for (const { name, kind, labels } of rows) {
    t.true(text.includes(`# TYPE ${name} ${kind}\n`), name)
    for (const [, found = ''] of text.matchAll(new RegExp(`^${name}\\{([^}]*)\\}`, 'gm'))) {
      const present = [...found.matchAll(/(\w+)="/g)].map(([, label]) => label)
      t.deepEqual(present.sort(), [...labels].sort(), name)
    }
  }
  return { table, text }
}
