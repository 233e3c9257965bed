import test from 'ava'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parse } from 'yaml'
import { readWebhookCommand } from '../../../src/webhook/config.ts'
import { fencedBlocks } from '../../support/markdown.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { binary } from '../support/binaries.ts'
import { createClusterIdentity } from '../support/cluster-identity.ts'
import { startEtcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { documentsOf, type Fields, type Manifest } from '../support/manifests.ts'
import { collection } from '../support/kubernetes.ts'
import { type Ran, runOk, runProgram } from '../support/run-program.ts'

const ground = useGround(test)
const root = join(import.meta.dirname, '../../..')
const chart = join(root, 'deploy/helm/latchkey')

let server: ApiServer
let helm: string
let kubectl: string

test.before(async () => {
  const etcd = await startEtcd(ground)
  server = await startApiServer(ground, { etcd, identity: await createClusterIdentity(ground) })
  helm = await binary('helm')
  kubectl = await binary('kubectl')
  await runOk(ground, {
    command: kubectl,
    args: [
      ...['--kubeconfig', server.kubeconfig, 'apply', '-f'],
      join(root, 'deploy/cluster/namespace.yaml'),
    ],
  })
})

const runHelm = (...args: readonly string[]): Promise<Ran> =>
  runProgram(ground, { command: helm, args })

/** What the chart makes of values given as `--set` does. */
async function rendered(...set: readonly string[]): Promise<readonly Manifest[]> {
  const flags = set.flatMap((each) => ['--set', each])
  const args = ['template', 'latchkey', chart, '--namespace', 'latchkey-system', ...flags]
  return documentsOf(await runOk(ground, { command: helm, args }))
}

async function kustomized(directory: string): Promise<readonly Manifest[]> {
  const args = ['kustomize', join(root, directory)]
  return documentsOf(await runOk(ground, { command: kubectl, args }))
}

/** What Helm adds to every object, and the hash that kustomize adds to the name of a ConfigMap. */
const added = /^(?:helm\.sh\/.*|app\.kubernetes\.io\/(?:instance|managed-by)|checksum\/config)$/

/** Without what the two ways must differ in; and a file of settings as what it says. */
function normalised(value: unknown, key = ''): unknown {
  if (key === 'webhook.yaml') return parse(String(value))
  if (key === 'name' && typeof value === 'string') {
    return value.replace(/^latchkey-webhook-[a-z0-9]{10}$/, 'latchkey-webhook')
  }
  // Kustomize breaks long lines of expressions, where white space means nothing.
  if (key === 'expression') return String(value).replaceAll(/\s+/g, ' ')
  if (Array.isArray(value)) return value.map((each) => normalised(each))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
    .filter(([name]) => !added.test(name))
    .map(([name, inner]): [string, unknown] => [name, normalised(inner, name)])
    .filter(([name, inner]) => !(['labels', 'annotations'].includes(name) && isEmpty(inner)))
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

const isEmpty = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0

function byName(manifests: readonly Manifest[]): Readonly<Record<string, unknown>> {
  const named = manifests.map((each): [string, unknown] => {
    const same = normalised(each) as Manifest
    return [`${same.kind} ${same.metadata.namespace ?? ''}/${same.metadata.name}`, same]
  })
  return Object.fromEntries(named.sort(([a], [b]) => (a < b ? -1 : 1)))
}

const apply = (manifests: readonly Manifest[], ...flags: readonly string[]): Promise<string> =>
  runOk(ground, {
    command: kubectl,
    args: [
      ...['--kubeconfig', server.kubeconfig, 'apply', '--server-side', '--validate=strict'],
      ...['--force-conflicts', ...flags, '-f', '-'],
    ],
    stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }),
  })

test('helm finds nothing to say about the chart', async (t) => {
  const { code, stdout } = await runHelm('lint', '--strict', chart)
  t.is(code, 0, stdout)
  t.notRegex(stdout, /\[(?:WARNING|ERROR)\]/)
})

test('with its defaults it is deploy/cluster, object for object', async (t) => {
  const ours = byName(await rendered('namespace.create=true'))
  const theirs = byName(await kustomized('deploy/cluster'))
  t.deepEqual(Object.keys(ours), Object.keys(theirs))
  t.deepEqual(ours, theirs)
  t.is(Object.keys(theirs).length - Object.keys(byName(await rendered())).length, 1)
})

test('with the policies it is deploy/policies too', async (t) => {
  const ours = byName(await rendered('namespace.create=true', 'policies.enabled=true'))
  const theirs = [...(await kustomized('deploy/cluster')), ...(await kustomized('deploy/policies'))]
  t.deepEqual(ours, byName(theirs))
})

// Before the release is installed, whose fields would be merged with these.
test.serial('the API server takes all of it, by its schema and its rules', async (t) => {
  await apply(await rendered('policies.enabled=true'), '--dry-run=server')
  const everything = await rendered(
    'policies.enabled=true',
    'image.digest=sha256:' + 'a'.repeat(64),
    'image.pullPolicy=Always',
    'image.pullSecrets[0].name=registry',
    'runAs=null',
    'priorityClassName=',
    'broker.nodeSelector.disk=ssd',
    'broker.tolerations[0].operator=Exists',
    'broker.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key=metadata.name',
    'broker.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].operator=In',
    'broker.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].values[0]=n1',
    'broker.replicas=1',
    'broker.auditVolume.persistentVolumeClaim.claimName=audit',
    'broker.podAnnotations.a=b',
    'webhook.podAnnotations.a=b',
    'webhook.extraVolumes[0].name=tls',
    'webhook.extraVolumes[0].secret.secretName=webhook-tls',
    'webhook.extraVolumeMounts[0].name=tls',
    'webhook.extraVolumeMounts[0].mountPath=/run/tls',
    'webhook.configurationAnnotations.cert-manager\\.io/inject-ca-from=latchkey-system/webhook',
  )
  await apply(everything, '--dry-run=server')
  t.pass()
})

test.serial(
  'helm installs, upgrades and removes it; what the webhook filled in stays',
  async (t) => {
    const target = ['--namespace', 'latchkey-system', '--kubeconfig', server.kubeconfig]
    const secrets = collection('v1', 'secrets', 'latchkey-system')
    const data = { 'ca.crt': Buffer.from('kept').toString('base64') }
    const kept = async (): Promise<void> => {
      t.deepEqual((await server.admin.get(secrets, 'latchkey-authority'))['data'], data)
    }
    const ran = async (...args: readonly string[]): Promise<void> => {
      const { code, stderr } = await runHelm(...args, ...target)
      t.is(code, 0, stderr)
    }
    await ran('install', 'latchkey', chart)
    await server.admin.patch(secrets, 'latchkey-authority', { data })
    await ran('upgrade', 'latchkey', chart, '--set', 'settings.sidecar.mesh=ignore')
    await kept()
    await ran('uninstall', 'latchkey')
    await kept()
    // Nothing stays that would ask a webhook which is gone.
    for (const kind of ['mutating', 'validating']) {
      const path = collection('admissionregistration.k8s.io/v1', `${kind}webhookconfigurations`)
      t.deepEqual((await server.admin.list(path)).items, [], kind)
    }
    await ran('install', 'latchkey', chart)
    await kept()
  },
)

test.serial('what changes with the values changes back with them', async (t) => {
  const target = ['--namespace', 'latchkey-system', '--kubeconfig', server.kubeconfig]
  const stored = async (): Promise<unknown> => {
    const kinds = 'deployments,services,configmaps,serviceaccounts,roles,rolebindings'
    const all = `${kinds},poddisruptionbudgets,networkpolicies,mutatingwebhookconfigurations`
    const args = ['get', all, '--selector', 'app.kubernetes.io/managed-by=Helm', '-o', 'json']
    const text = await runOk(ground, { command: kubectl, args: [...args, ...target] })
    const { items } = JSON.parse(text) as { items: readonly Manifest[] }
    return items.map(({ kind, metadata, ...rest }) => {
      const { name, labels, annotations } = metadata
      const { 'deployment.kubernetes.io/revision': _, ...others } = (annotations ?? {}) as Fields
      const { status: _status, ...declared } = rest
      return { kind, name, labels, annotations: others, ...declared }
    })
  }
  const upgrade = async (...set: readonly string[]): Promise<void> => {
    const flags = ['--reset-values', ...set.flatMap((each) => ['--set', each])]
    const { code, stderr } = await runHelm('upgrade', 'latchkey', chart, ...flags, ...target)
    t.is(code, 0, stderr)
  }
  await upgrade()
  const before = await stored()
  await upgrade(
    'broker.replicas=1',
    'broker.auditVolume.persistentVolumeClaim.claimName=audit',
    'broker.podAnnotations.a=b',
    'broker.nodeSelector.disk=ssd',
    'broker.tolerations[0].operator=Exists',
    'broker.resources=null',
    'webhook.resources.limits=null',
    'webhook.configurationAnnotations.a=b',
    'exemptNamespaces={legacy}',
    'settings.audience=secrets',
    'networkPolicy.enabled=false',
    'policies.enabled=true',
    'runAs=null',
    'image.pullSecrets[0].name=registry',
  )
  t.notDeepEqual(await stored(), before)
  await upgrade()
  t.deepEqual(await stored(), before)
})

test.serial('the key of versions is put in as the README says', async (t) => {
  const readme = await readFile(join(chart, '../README.md'), 'utf8')
  const [block] = fencedBlocks(readme).filter(({ words }) => words.includes('version-key'))
  const env = { KUBECONFIG: server.kubeconfig, PATH: `${dirname(kubectl)}:/usr/bin:/bin` }
  await runOk(ground, { command: 'bash', args: ['-euc', block?.text ?? 'false'], env })
  const secrets = collection('v1', 'secrets', 'latchkey-system')
  const { data } = await server.admin.get(secrets, 'latchkey-broker-tls')
  t.is(Buffer.from(String((data as Fields)['version.key']), 'base64').length, 32)
})

test.serial('a second release is refused, and touches nothing of the first', async (t) => {
  const kube = ['--kubeconfig', server.kubeconfig]
  const inAll = ['get', 'deployments,secrets,serviceaccounts', '-A', '-o', 'name', ...kube]
  const selected = [...inAll, '--selector', 'app.kubernetes.io/managed-by=Helm']
  const before = await runOk(ground, { command: kubectl, args: selected })
  const flags = ['--namespace', 'elsewhere', '--create-namespace', ...kube]
  const { code, stderr } = await runHelm('install', 'second', chart, ...flags)
  t.not(code, 0)
  t.regex(stderr, /cannot be imported into the current release.*"latchkey-system"/s)
  t.is(await runOk(ground, { command: kubectl, args: selected }), before)
})

test('names and values that the chart does not know are refused', async (t) => {
  const refused = [
    'brokr.replicas=3',
    'broker.replica=3',
    'broker.replicas=0',
    'settings.sidecar.msh=ignore',
    'settings.sidecar.mesh=istio',
    'settings.sidecar.group=0',
    'settings.broker=elsewhere:1',
    'image.digest=abc',
    'exemptNamespaces[0]=Not_One',
    'broker.extraArgs[0]=bind-pod-ip',
    'settings.listen=[::]:9443',
    'settings.metrics=[::]:8080',
    'image.repository=registry.example/latchkey:0.1.0',
  ]
  for (const value of refused) {
    const { code, stderr } = await runHelm('template', 'latchkey', chart, '--set', value)
    t.not(code, 0, value)
    t.regex(stderr, /values don't meet the specifications of the schema/, value)
  }
})

test('options arrive where they are meant', async (t) => {
  const manifests = await rendered(
    'image.repository=registry.example/latchkey',
    'image.tag=0.1.0',
    'broker.replicas=3',
    'broker.extraArgs[0]=--bind-pod-ip=enforce',
    'exemptNamespaces[0]=legacy',
    'settings.sidecar.group=70000',
    'settings.sidecar.user=assigned',
    'settings.sidecar.mesh=through',
    'networkPolicy.enabled=false',
    'podDisruptionBudget.enabled=false',
    'mountAdmin.aggregateToAdmin=false',
    'monitoring.podMonitor.enabled=true',
    'monitoring.rules.enabled=true',
  )
  const find = (kind: string, name: string): Manifest | undefined =>
    manifests.find((each) => each.kind === kind && each.metadata.name === name)
  const text = JSON.stringify(manifests)
  t.is(text.match(/"image":"registry\.example\/latchkey:0\.1\.0"/g)?.length, 2)
  t.like(find('Deployment', 'latchkey-broker'), { spec: { replicas: 3 } })
  t.true(text.includes('"--bind-pod-ip=enforce"'))
  t.is(text.match(/"values":\["kube-system","latchkey-system","legacy"\]/g)?.length, 2)
  t.is(find('NetworkPolicy', 'latchkey'), undefined)
  t.is(find('PodDisruptionBudget', 'latchkey-broker'), undefined)
  t.notRegex(text, /aggregate-to-admin/)
  t.truthy(find('PodMonitor', 'latchkey'))
  t.truthy(find('PrometheusRule', 'latchkey'))
  const file = (find('ConfigMap', 'latchkey-webhook')?.['data'] as Fields)['webhook.yaml']
  const command = await readWebhookCommand(['--config', 'f', '--pod', 'p'], {
    readText: async () => String(file),
    ownNamespace: async () => 'latchkey-system',
  })
  t.like(command, {
    kind: 'serve',
    config: {
      exemptNamespaces: ['latchkey-system', 'kube-system', 'legacy'],
      sidecar: { gid: 70_000, uid: 'assigned', mesh: 'through' },
    },
  })
})

test('a release in another namespace keeps away from its own namespace', async (t) => {
  const args = [
    'template',
    'x',
    chart,
    '--namespace',
    'secrets-infra',
    '--set',
    'policies.enabled=true',
  ]
  const text = await runOk(ground, { command: helm, args })
  t.notRegex(text, /latchkey-system/)
  t.regex(text, /broker: latchkey-broker\.secrets-infra\.svc:24443/)
})
