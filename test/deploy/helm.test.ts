import test from 'ava'
import { glob, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { parse } from 'yaml'

const deploy = join(import.meta.dirname, '../../deploy')
const chart = join(deploy, 'helm/latchkey')
const read = (path: string): Promise<string> => readFile(path, 'utf8')

test('the policies and alerts in the chart are those beside it', async (t) => {
  const copied: string[] = []
  for await (const path of glob(join(chart, 'files/policies/*.yaml'))) {
    t.is(await read(path), await read(join(deploy, 'policies', basename(path))), path)
    copied.push(basename(path))
  }
  const { resources } = parse(await read(join(deploy, 'policies/kustomization.yaml'))) as {
    resources: string[]
  }
  t.deepEqual(copied.sort(), [...resources].sort())
  const rules = await read(join(chart, 'files/rules/delivery.yaml'))
  t.is(rules, await read(join(deploy, 'observability/delivery.yaml')))
})

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: unknown
}

test('the schema knows every value, and refuses any other name beside one', async (t) => {
  const schema = JSON.parse(await read(join(chart, 'values.schema.json'))) as Schema
  const compare = (values: unknown, known: Schema, path: string): void => {
    if (known.properties === undefined) return
    t.is(known.additionalProperties, false, path)
    for (const [name, value] of Object.entries(values as object)) {
      const inner = known.properties[name]
      t.truthy(inner, `${path}${name}`)
      if (inner !== undefined && typeof value === 'object' && value !== null)
        compare(value, inner, `${path}${name}.`)
    }
  }
  compare(parse(await read(join(chart, 'values.yaml'))), schema, '')
})

test('the settings in the values are those of deploy/cluster, word for word', async (t) => {
  const { settings } = parse(await read(join(chart, 'values.yaml'))) as {
    settings: Record<string, unknown> & { sidecar: Record<string, unknown> }
  }
  const file = parse(await read(join(deploy, 'cluster/webhook.yaml'))) as Record<string, unknown>
  const { broker: _broker, 'exempt-namespaces': _exempt, ...theirs } = file
  const { image, ...sidecar } = settings.sidecar
  t.is(image, '')
  t.deepEqual({ ...settings, sidecar }, theirs)
})

test('the chart is of the release', async (t) => {
  const { version } = JSON.parse(await read(join(deploy, '../package.json'))) as { version: string }
  t.like(parse(await read(join(chart, 'Chart.yaml'))), { version, appVersion: version })
})
