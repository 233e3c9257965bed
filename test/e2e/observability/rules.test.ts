import test from 'ava'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { useGround } from '../support/ground.ts'
import { findPromtool } from '../support/promtool.ts'
import { runProgram } from '../support/run-program.ts'
import { alertCases } from './alert-cases.ts'

const ground = useGround(test)
const directory = join(import.meta.dirname, '../../../deploy/observability')
const files = ['kms.yaml', 'delivery.yaml'] as const

interface Rule {
  readonly alert: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

async function rulesOf(file: string): Promise<readonly Rule[]> {
  const { groups } = parse(await readFile(join(directory, file), 'utf8')) as {
    groups: { rules: Rule[] }[]
  }
  return groups.flatMap(({ rules }) => rules)
}

async function promtool(...args: readonly string[]): Promise<{ code: number | null; out: string }> {
  const command = await findPromtool()
  if (command === undefined) throw new Error('promtool is neither on PATH nor in a package')
  const { code, stdout, stderr } = await runProgram(ground, { command, args })
  return { code, out: stdout + stderr }
}

test('promtool takes the rules', async (t) => {
  for (const file of files) {
    const { code, out } = await promtool('check', 'rules', join(directory, file))
    t.is(code, 0, out)
  }
})

test('every alert has a case in which it fires, and one in which it does not', async (t) => {
  const rules = (await Promise.all(files.map(rulesOf))).flat()
  t.deepEqual(
    rules.map(({ alert }) => alert),
    Object.keys(alertCases),
  )
})

for (const file of files) {
  test(`the alerts of ${file} fire when they should, and only then`, async (t) => {
    const tests = (await rulesOf(file)).flatMap((rule) => {
      const found = alertCases[rule.alert]
      if (found === undefined) throw new Error(`no case of ${rule.alert}`)
      const at = found.at ?? '30m'
      const inputOf = (series: Readonly<Record<string, string>>): object[] =>
        Object.entries(series).map(([name, values]) => ({ series: name, values }))
      // Annotations as Prometheus fills them in.
      const filled = Object.entries(rule.annotations).map(([name, text]) => [
        name,
        text.replaceAll(
          /\{\{ \$labels\.(\w+) \}\}/g,
          (_, label: string) => found.labels[label] ?? '',
        ),
      ])
      const expected = {
        exp_labels: { ...rule.labels, ...found.labels },
        exp_annotations: Object.fromEntries(filled) as object,
      }
      const asked = { eval_time: at, alertname: rule.alert }
      return [
        {
          name: `${rule.alert} fires`,
          interval: '1m',
          input_series: inputOf(found.fires),
          alert_rule_test: [{ ...asked, exp_alerts: [expected] }],
        },
        {
          name: `${rule.alert} stays quiet`,
          interval: '1m',
          input_series: inputOf(found.quiet),
          alert_rule_test: [{ ...asked, exp_alerts: [] }],
        },
      ]
    })
    const path = join(ground.dir, `${file}.test.yaml`)
    const rules = { rule_files: [join(directory, file)], evaluation_interval: '1m', tests }
    await writeFile(path, stringify(rules, { lineWidth: 0 }))
    const { code, out } = await promtool('test', 'rules', path)
    t.is(code, 0, out)
  })
}

test('promtool would say when an alert does not do what its case says', async (t) => {
  const path = join(ground.dir, 'wrong.test.yaml')
  const series = [{ series: 'latchkey_broker_audit_healthy{instance="b"}', values: '1x30' }]
  const wrong = {
    rule_files: [join(directory, 'delivery.yaml')],
    tests: [
      {
        interval: '1m',
        input_series: series,
        alert_rule_test: [
          {
            eval_time: '30m',
            alertname: 'LatchkeyBrokerAudit',
            exp_alerts: [{ exp_labels: { instance: 'b' } }],
          },
        ],
      },
    ],
  }
  await writeFile(path, stringify(wrong))
  t.not((await promtool('test', 'rules', path)).code, 0)
})
