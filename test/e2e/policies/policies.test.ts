import test from 'ava'
import { join } from 'node:path'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { binary } from '../support/binaries.ts'
import { createClusterIdentity } from '../support/cluster-identity.ts'
import { startEtcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { collection, type KubernetesObject } from '../support/kubernetes.ts'
import { runOk, runProgram } from '../support/run-program.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const policies = join(import.meta.dirname, '../../../deploy/policies')
const namespaces = ['none', 'audit', 'warn', 'enforce'] as const

let server: ApiServer
let kubectl: string

type Fields = Readonly<Record<string, unknown>>

const pod = (spec: Fields = {}, annotations: Fields = {}): KubernetesObject => ({
  metadata: { name: 'web', annotations } as KubernetesObject['metadata'],
  spec: {
    automountServiceAccountToken: false,
    containers: [{ name: 'app', image: 'app' }],
    ...spec,
  },
})
const app = (fields: Fields): Fields => ({ containers: [{ name: 'app', image: 'app', ...fields }] })

const tried = async (
  object: KubernetesObject,
  path = collection('v1', 'pods', 'enforce'),
): Promise<string> => {
  try {
    await server.admin.create(`${path}?dryRun=All`, object)
    return 'allowed'
  } catch (error) {
    return error instanceof Error ? error.message : ''
  }
}

const secretEnv = app({
  env: [{ name: 'P', valueFrom: { secretKeyRef: { name: 'db', key: 'p' } } }],
})

test.before(async () => {
  const etcd = await startEtcd(ground)
  server = await startApiServer(ground, { etcd, identity: await createClusterIdentity(ground) })
  kubectl = await binary('kubectl')
  for (const name of namespaces) {
    const labels =
      name === 'none'
        ? {}
        : {
            'policies.latchkey.dev/no-secret-env': name,
            'policies.latchkey.dev/files-by-latchkey': name,
          }
    await server.admin.create(collection('v1', 'namespaces'), { metadata: { name, labels } })
    await server.admin.create(collection('v1', 'serviceaccounts', name), {
      metadata: { name: 'default' },
    })
  }
  await runOk(ground, {
    command: kubectl,
    args: ['--kubeconfig', server.kubeconfig, 'apply', '-k', policies, '--validate=strict'],
  })
  // Policies take effect when the API server's own watch has brought them.
  await until('the policies to hold', async () => (await tried(pod(secretEnv))) !== 'allowed', {
    timeoutMs: 30_000,
    everyMs: 100,
  })
})

test('every policy is installed', async (t) => {
  const path = collection('admissionregistration.k8s.io/v1', 'validatingadmissionpolicies')
  const { items } = await server.admin.list(path)
  t.deepEqual(
    items.map(({ metadata }) => metadata.name),
    [
      'files-by-latchkey',
      'injected',
      'no-debug-access',
      'no-secret-env',
      'untampered',
      'use-account',
    ].map((name) => `${name}.latchkey.dev`),
  )
})

test('where a namespace only audits or warns, or asks for nothing, all is allowed', async (t) => {
  for (const name of ['none', 'audit', 'warn']) {
    t.is(await tried(pod(secretEnv), collection('v1', 'pods', name)), 'allowed')
  }
  const warned = async (namespace: string): Promise<boolean> => {
    const { stderr } = await runProgram(ground, {
      command: kubectl,
      args: [
        ...['--kubeconfig', server.kubeconfig, '--namespace', namespace],
        ...['create', '--dry-run=server', '-f', '-'],
      ],
      stdin: JSON.stringify({ apiVersion: 'v1', kind: 'Pod', ...pod(secretEnv) }),
    })
    return stderr.includes('Warning: ') && stderr.includes('env.valueFrom.secretKeyRef')
  }
  // Its binding takes effect by itself.
  await until('a warning', () => warned('warn'), { timeoutMs: 20_000 })
  t.false(await warned('audit'))
  t.false(await warned('none'))
})

test('as large a pod as the API server takes is judged like any other', async (t) => {
  const env = Array.from({ length: 30_000 }, (_, index) => ({ name: `V${index}`, value: 'v' }))
  // The API server gives itself 34 s, which such a pod may take on a busy machine.
  const judged = async (object: KubernetesObject): Promise<string> =>
    await until(
      'a judgement',
      async () => {
        const said = await tried(object)
        return !/did not complete within|context deadline exceeded/.test(said) && said
      },
      { timeoutMs: 120_000 },
    )
  t.is(await judged(pod(app({ env }))), 'allowed')
  const last = { name: 'P', valueFrom: { secretKeyRef: { name: 'db', key: 'p' } } }
  t.regex(await judged(pod(app({ env: [...env, last] }))), /secretKeyRef/)
})
