import test from 'ava'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'

const project = join(import.meta.dirname, '../..')
const read = (path: string): Promise<string> => readFile(join(project, path), 'utf8')
const directory = 'deploy/observability'
const ruleFiles = ['kms.yaml', 'delivery.yaml']

interface Metric {
  readonly kind: string
  readonly labels: readonly string[]
}

/** Every metric by its name, from the tables that tests hold against the programs. */
async function metricsOfPrograms(): Promise<ReadonlyMap<string, Metric>> {
  const metrics = new Map<string, Metric>()
  for (const program of ['kms', 'broker', 'webhook', 'sidecar']) {
    const table = await read(`src/${program}/METRICS.md`)
    for (const [, name = '', kind = '', labels = ''] of table.matchAll(
      /^\| `(latchkey_\w+)` \| (\w+) \|([^|]*)\|/gm,
    )) {
      metrics.set(name, { kind, labels: [...labels.matchAll(/`(\w+)`/g)].map(([, it = '']) => it) })
    }
  }
  return metrics
}

/** Names that the expression language has, beside metrics and labels. */
const scraped = ['job', 'instance', 'namespace', 'pod', 'le']

/** What is wrong with the metrics in an expression. */
function mistakesIn(expression: string, metrics: ReadonlyMap<string, Metric>): readonly string[] {
  const found = [...expression.matchAll(/\blatchkey_\w+/g)].map(([name]) => name)
  const mistakes: string[] = []
  const known: Metric[] = []
  for (const name of found) {
    const base = name.replace(/_(?:bucket|sum|count)$/, '')
    const metric = metrics.get(name) ?? metrics.get(base)
    if (metric === undefined) mistakes.push(`there is no metric ${name}`)
    else known.push(metric)
    if (metric?.kind === 'histogram' && name === base) mistakes.push(`${name} is a histogram`)
    if (metric?.kind === 'counter' && !/\b(?:rate|increase)\(/.test(expression))
      mistakes.push(`${name} is a counter, whose value says nothing`)
  }
  const labels = new Set([...scraped, ...known.flatMap((metric) => metric.labels)])
  const used = [
    ...[...expression.matchAll(/[{,]\s*(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, name = '']) => name),
    ...[...expression.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/,\s*/)),
  ]
  for (const label of used) {
    if (!labels.has(label)) mistakes.push(`none of ${found.join(', ')} has the label ${label}`)
  }
  if (found.length === 0) mistakes.push('it is about no metric of ours')
  return mistakes
}

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

async function allRules(): Promise<readonly Rule[]> {
  const files = await Promise.all(ruleFiles.map((file) => read(join(directory, file))))
  return files.flatMap((text) =>
    (parse(text) as { groups: { rules: Rule[] }[] }).groups.flatMap(({ rules }) => rules),
  )
}

test('every alert is about metrics and labels that the programs have', async (t) => {
  const metrics = await metricsOfPrograms()
  t.true(metrics.size > 50)
  for (const { alert, expr } of await allRules()) t.deepEqual(mistakesIn(expr, metrics), [], alert)
})

test('every program has an alert, and every alert says what it means and what to do', async (t) => {
  const rules = await allRules()
  for (const program of ['kms', 'broker', 'webhook', 'sidecar']) {
    t.true(rules.some(({ expr }) => expr.includes(`latchkey_${program}_`)), program)
  }
  for (const { alert, labels, annotations } of rules) {
    t.true(['info', 'warning', 'critical'].includes(labels.severity), alert)
    t.true(annotations.summary.length > 10 && annotations.description.length > 30, alert)
  }
})

test('a metric that is gone, a label that it has not, a bare counter: each would be found', async (t) => {
  const metrics = await metricsOfPrograms()
  const count = (expression: string): number => mistakesIn(expression, metrics).length
  t.is(count('latchkey_kms_nothing > 0'), 1)
  t.is(count('sum by (colour) (rate(latchkey_kms_requests_total[5m]))'), 1)
  t.is(count('latchkey_kms_requests_total{code="OK"} > 0'), 1)
  t.is(count('rate(latchkey_kms_requests_total{code="OK"}[5m]) > 0'), 0)
  t.is(count('latchkey_kms_request_duration_seconds > 1'), 1)
})

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly datasource?: { readonly type: string; readonly uid: string }
  readonly targets?: readonly {
    readonly expr: string
    readonly refId: string
    readonly datasource: { readonly uid: string }
  }[]
}
interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly schemaVersion: number
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] }
  readonly panels: readonly Panel[]
}

test('the dashboard is one that Grafana takes, over metrics that there are', async (t) => {
  const dashboard = JSON.parse(await read(`${directory}/dashboard.json`)) as Dashboard
  const metrics = await metricsOfPrograms()
  t.regex(dashboard.uid, /^[a-zA-Z0-9_-]{1,40}$/)
  t.true(dashboard.schemaVersion >= 36)
  t.false('id' in dashboard)
  const variables = dashboard.templating.list.map(({ name }) => name)
  t.true(variables.includes('datasource'))
  const ids = dashboard.panels.map(({ id }) => id)
  t.is(new Set(ids).size, ids.length)
  const programs = new Set<string>()
  for (const { title, type, gridPos, datasource, targets = [] } of dashboard.panels) {
    t.true(gridPos.x >= 0 && gridPos.x + gridPos.w <= 24 && gridPos.h > 0, title)
    if (type === 'row') continue
    t.deepEqual(datasource, { type: 'prometheus', uid: '${datasource}' }, title)
    t.true(targets.length > 0, title)
    t.is(new Set(targets.map(({ refId }) => refId)).size, targets.length, title)
    for (const { expr } of targets) {
      const plain = expr.replaceAll('$__rate_interval', '5m').replaceAll(/\$\w+/g, 'x')
      t.deepEqual(mistakesIn(plain, metrics), [], `${title}: ${expr}`)
      for (const [, program = ''] of expr.matchAll(/latchkey_([a-z]+)_/g)) programs.add(program)
      for (const [, name = ''] of expr.matchAll(/\$(?!__)(\w+)/g))
        t.true(variables.includes(name), `${title}: $${name}`)
    }
  }
  t.deepEqual([...programs].sort(), ['broker', 'kms', 'sidecar', 'webhook'])
})

test('panels do not lie on each other', async (t) => {
  const { panels } = JSON.parse(await read(`${directory}/dashboard.json`)) as Dashboard
  const taken = new Map<string, string>()
  for (const { title, gridPos } of panels) {
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        t.is(taken.get(`${x},${y}`), undefined, title)
        taken.set(`${x},${y}`, title)
      }
    }
  }
})
