import test from 'ava'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { readBrokerCommand } from '../../../src/broker/config.ts'
import { readWebhookCommand } from '../../../src/webhook/config.ts'
import { fencedBlocks } from '../../support/markdown.ts'
import { binary } from '../support/binaries.ts'
import { useGround } from '../support/ground.ts'
import { documentsOf, type Fields, type Manifest } from '../support/manifests.ts'
import { type Ran, runProgram } from '../support/run-program.ts'

// What Helm makes of values that people give the chart; no cluster is asked.

const ground = useGround(test)
const chart = join(import.meta.dirname, '../../../deploy/helm/latchkey')

let helm: string

test.before(async () => {
  helm = await binary('helm')
})

const runHelm = (...args: readonly string[]): Promise<Ran> =>
  runProgram(ground, { command: helm, args })

async function rendered(...set: readonly string[]): Promise<readonly Manifest[]> {
  const { stdout } = await templated(...set.flatMap((each) => ['--set', each]))
  return documentsOf(stdout)
}

/** Each value of the chart by its dotted path, with its default; what holds others too. */
async function everyValue(): Promise<ReadonlyMap<string, unknown>> {
  const found = new Map<string, unknown>()
  const visit = (values: object, path: string): void => {
    for (const [name, value] of Object.entries(values) as [string, unknown][]) {
      found.set(path + name, value)
      if (typeof value !== 'object' || value === null || Array.isArray(value)) continue
      visit(value, `${path}${name}.`)
    }
  }
  visit(parse(await readFile(join(chart, 'values.yaml'), 'utf8')) as object, '')
  return found
}

const templated = (...args: readonly string[]): Promise<Ran> =>
  runHelm('template', 'latchkey', chart, '--namespace', 'latchkey-system', ...args)

test('a value that is taken away leaves a chart that renders, or is asked for by name', async (t) => {
  const values = await everyValue()
  t.true(values.size > 50)
  for (const path of values.keys()) {
    const { code, stdout, stderr } = await templated('--set', `${path}=null`)
    if (code === 0) t.notThrows(() => documentsOf(stdout), path)
    else t.regex(stderr, new RegExp(`missing property '${path.split('.').at(-1) ?? ''}'`), path)
  }
})

test('a text arrives as it is, whatever is in it', async (t) => {
  const hostile = '"1": \'{{ }}\' # \n- x: &a *b\ttrue'
  const quoted = JSON.stringify(hostile)
  const accepted: string[] = []
  for (const [path, value] of await everyValue()) {
    if (typeof value !== 'string') continue
    const flags = ['--set-json', `${path}=${quoted}`, '--set', 'monitoring.podMonitor.enabled=true']
    const { code, stdout, stderr } = await templated(...flags)
    if (code !== 0) {
      t.regex(stderr, /meet the specifications of the schema/, path)
      continue
    }
    accepted.push(path)
    const texts = documentsOf(stdout).flatMap((each) => textsIn(each))
    t.true(
      texts.some((each) => each.includes(hostile)),
      path,
    )
  }
  for (const path of ['image.tag', 'priorityClassName', 'broker.auditSize', 'settings.audience']) {
    t.true(accepted.includes(path), path)
  }
  const maps = ['broker.podAnnotations', 'webhook.podAnnotations', 'broker.nodeSelector']
  for (const path of [...maps, 'webhook.configurationAnnotations']) {
    const { stdout } = await templated('--set-json', `${path}={"a.b/c": ${quoted}}`)
    t.true(
      documentsOf(stdout)
        .flatMap((each) => textsIn(each))
        .includes(hostile),
      path,
    )
  }
})

/** All texts in `value`, those in the file of settings too. */
function textsIn(value: unknown, key?: unknown): readonly string[] {
  if (key === 'webhook.yaml') return textsIn(parse(String(value)))
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, inner]) => textsIn(inner, name))
}

test('names that YAML would read as numbers stay names', async (t) => {
  const flags = ['--namespace', '2024', '--set', 'policies.enabled=true,namespace.create=true']
  const manifests = documentsOf((await runHelm('template', '1', chart, ...flags)).stdout)
  t.true(manifests.length > 20)
  for (const { metadata, kind } of manifests) {
    t.true([undefined, '2024'].includes(metadata.namespace), kind)
    t.is(typeof metadata.name, 'string', kind)
    const labels = (metadata['labels'] ?? {}) as Readonly<Record<string, unknown>>
    t.true(
      Object.values(labels).every((each) => typeof each === 'string'),
      kind,
    )
  }
})

test('another chart can depend on it, with globals of its own', async (t) => {
  const umbrella = join(ground.dir, 'umbrella')
  await mkdir(join(umbrella, 'charts'), { recursive: true })
  await cp(chart, join(umbrella, 'charts/latchkey'), { recursive: true })
  const about = { apiVersion: 'v2', name: 'umbrella', version: '1.0.0' }
  await writeFile(join(umbrella, 'Chart.yaml'), stringify(about))
  const values = { global: { imageRegistry: 'x' }, latchkey: { broker: { replicas: 3 } } }
  await writeFile(join(umbrella, 'values.yaml'), stringify(values))
  const { code, stdout, stderr } = await runHelm('template', 'umbrella', umbrella)
  t.is(code, 0, stderr)
  const broker = documentsOf(stdout).find(
    ({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'latchkey-broker',
  )
  t.like(broker, { spec: { replicas: 3 } })
})

test('what would not work together is refused, or follows', async (t) => {
  const claim = 'broker.auditVolume.persistentVolumeClaim.claimName=audit'
  const shared = await templated('--set', claim)
  t.not(shared.code, 0)
  t.regex(shared.stderr, /set broker\.replicas to 1/)
  const single = await rendered(claim, 'broker.replicas=1')
  const named = (kind: string, name: string): Manifest | undefined =>
    single.find((each) => each.kind === kind && each.metadata.name === name)
  t.like(named('Deployment', 'latchkey-broker'), { spec: { strategy: { type: 'Recreate' } } })
  t.is(named('PodDisruptionBudget', 'latchkey-broker'), undefined, 'it would hold up drains')
  t.truthy(named('PodDisruptionBudget', 'latchkey-webhook'))
  const old = await templated('--set', 'policies.enabled=true', '--kube-version', '1.29.3')
  t.regex(old.stderr, /policies\.enabled needs Kubernetes 1\.30/)
  const audience = JSON.stringify(await rendered('settings.audience=secrets'))
  t.true(audience.includes('"--audience=secrets"'))
  const ports = JSON.stringify(await rendered('networkPolicy.apiServerPorts={443,16443}'))
  t.true(ports.includes('"port":16443') && !ports.includes('"port":6443'))
})

test('nodes without IPv6 are served as the README says', async (t) => {
  const readme = await readFile(join(chart, '../README.md'), 'utf8')
  const block = fencedBlocks(readme).find(({ words }) => words.includes('ipv4'))
  const values = join(ground.dir, 'ipv4.yaml')
  await writeFile(values, block?.text ?? '')
  const { code, stdout, stderr } = await templated('--values', values)
  t.is(code, 0, stderr)
  t.regex(stdout, /listen: 0\.0\.0\.0:8443/)
  const broker = documentsOf(stdout).find(
    ({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'latchkey-broker',
  )
  const { template } = broker?.['spec'] as { template: { spec: { containers: [Fields] } } }
  const args = template.spec.containers[0]['args'] as readonly string[]
  const readText = (): Promise<string> => Promise.reject(new Error('there is no file'))
  // The last of two wins.
  t.like(await readBrokerCommand(args, { readText }), {
    config: { listen: { host: '0.0.0.0', port: 8443 }, metrics: { host: '0.0.0.0', port: 9090 } },
  })
})

test('certificates come from the files that the README shows how to mount', async (t) => {
  const readme = await readFile(join(chart, '../README.md'), 'utf8')
  const [block] = fencedBlocks(readme).filter(({ words }) => words.includes('values'))
  const values = join(ground.dir, 'files.yaml')
  await writeFile(values, block?.text ?? '')
  const { code, stdout, stderr } = await templated('--values', values)
  t.is(code, 0, stderr)
  const manifests = documentsOf(stdout)
  const find = (kind: string): Manifest | undefined =>
    manifests.find((each) => each.kind === kind && each.metadata.name === 'latchkey-webhook')
  const file = (find('ConfigMap')?.['data'] as Fields)['webhook.yaml']
  const command = await readWebhookCommand(['--config', 'f', '--pod', 'p'], {
    readText: async () => String(file),
    ownNamespace: async () => 'latchkey-system',
  })
  const issuer = {
    issuer: 'files',
    cert: '/run/certs/webhook/tls.crt',
    key: '/run/certs/webhook/tls.key',
    brokerCa: '/run/certs/broker/ca.crt',
  }
  t.like(command, { config: { certificates: issuer } })
  const texts = textsIn(find('Deployment'))
  for (const path of ['/run/certs/webhook', '/run/certs/broker']) t.true(texts.includes(path), path)
})
