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
    ['files-by-latchkey', 'injected', 'no-debug-access', 'no-secret-env', 'use-account'].map(
      (name) => `${name}.latchkey.dev`,
    ),
  )
})

test('plain pods, and pods with values of their own, are allowed', async (t) => {
  t.is(await tried(pod()), 'allowed')
  t.is(await tried(pod(app({ env: [{ name: 'A', value: 'b' }] }))), 'allowed')
  const configMap = [{ configMapRef: { name: 'c' } }]
  t.is(await tried(pod(app({ envFrom: configMap }))), 'allowed')
  const volumes = [{ name: 'v', emptyDir: {} }]
  t.is(
    await tried(pod({ ...app({ volumeMounts: [{ name: 'v', mountPath: '/v' }] }), volumes })),
    'allowed',
  )
})

test('Secrets in environment variables are denied where the namespace enforces it', async (t) => {
  t.regex(await tried(pod(secretEnv)), /env\.valueFrom\.secretKeyRef/)
  const whole = app({ envFrom: [{ secretRef: { name: 'db' } }] })
  t.regex(await tried(pod(whole)), /envFrom\.secretRef/)
  const init = {
    initContainers: [{ name: 'i', image: 'i', envFrom: [{ secretRef: { name: 'db' } }] }],
  }
  t.regex(await tried(pod(init)), /envFrom\.secretRef/)
})

test('workloads are judged by their templates', async (t) => {
  const template = {
    metadata: { labels: { app: 'web' } },
    spec: { ...(pod(secretEnv)['spec'] as Fields) },
  }
  const metadata = { name: 'web' }
  const deployment = { metadata, spec: { selector: { matchLabels: { app: 'web' } }, template } }
  t.regex(await tried(deployment, collection('apps/v1', 'deployments', 'enforce')), /secretKeyRef/)
  const spec = { ...template.spec, restartPolicy: 'Never' }
  const job = { spec: { template: { ...template, spec } } }
  const cronJob = { metadata, spec: { schedule: '0 0 * * *', jobTemplate: job } }
  t.regex(await tried(cronJob, collection('batch/v1', 'cronjobs', 'enforce')), /secretKeyRef/)
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
  t.true(await warned('warn'))
  t.false(await warned('audit'))
  t.false(await warned('none'))
})

test('volumes of Secrets are denied to containers where the namespace enforces it', async (t) => {
  const mount = app({ volumeMounts: [{ name: 'v', mountPath: '/v' }] })
  const secret = [{ name: 'v', secret: { secretName: 'db' } }]
  t.regex(await tried(pod({ ...mount, volumes: secret })), /mounts a volume of a Secret/)
  const projected = [{ name: 'v', projected: { sources: [{ secret: { name: 'db' } }] } }]
  t.regex(await tried(pod({ ...mount, volumes: projected })), /mounts a volume of a Secret/)
  t.is(await tried(pod({ volumes: secret })), 'allowed')
  const token = [{ serviceAccountToken: { path: 'token', expirationSeconds: 3600 } }]
  const tokens = [{ name: 'v', projected: { sources: token } }]
  t.is(await tried(pod({ ...mount, volumes: tokens })), 'allowed')
})

test('a pod that asks for secrets without the sidecar is denied everywhere', async (t) => {
  const asks = { 'latchkey.dev/secrets': '- { secret: db, path: /etc/db/ }' }
  const none = collection('v1', 'pods', 'none')
  t.regex(await tried(pod({}, asks), none), /has no sidecar/)
  const sidecar = { name: 'latchkey', image: 'latchkey' }
  t.regex(await tried(pod({ initContainers: [sidecar] }, asks), none), /has no sidecar/)
  const native = { ...sidecar, restartPolicy: 'Always' }
  t.is(await tried(pod({ initContainers: [native] }, asks), none), 'allowed')
})

test('nobody but the sidecar sees its token, or writes secret files', async (t) => {
  const volumes = ['latchkey-pod', 'latchkey-state', 'latchkey-files-1'].map((name) => ({
    name,
    emptyDir: {},
  }))
  const mounting = (name: string, readOnly: boolean): KubernetesObject =>
    pod({ ...app({ volumeMounts: [{ name, mountPath: '/v', readOnly }] }), volumes })
  t.regex(await tried(mounting('latchkey-pod', true)), /volume of the sidecar/)
  t.regex(await tried(mounting('latchkey-state', true)), /volume of the sidecar/)
  t.regex(await tried(mounting('latchkey-files-1', false)), /can write them/)
  t.is(await tried(mounting('latchkey-files-1', true)), 'allowed')
})

test('a file of Latchkey does not become an environment variable', async (t) => {
  const from = (volumeName: string): KubernetesObject =>
    pod({
      ...app({
        env: [{ name: 'P', valueFrom: { fileKeyRef: { volumeName, path: 'p', key: 'K' } } }],
      }),
      volumes: [{ name: volumeName, emptyDir: {} }],
    })
  t.regex(await tried(from('latchkey-files-1')), /env\.valueFrom\.fileKeyRef/)
  t.is(await tried(from('own')), 'allowed')
})

test('containers for debugging get neither volumes nor processes of ours', async (t) => {
  const pods = collection('v1', 'pods', 'none')
  const volumes = [
    { name: 'latchkey-files-1', emptyDir: {} },
    { name: 'own', emptyDir: {} },
  ]
  const native = { name: 'latchkey', image: 'latchkey', restartPolicy: 'Always' }
  const debugged = pod({ volumes, initContainers: [native] })
  await server.admin.create(pods, { ...debugged, metadata: { name: 'debugged' } })
  const debug = async (fields: Fields): Promise<string> => {
    const container = { name: 'debug', image: 'debug', ...fields }
    try {
      await server.admin.patch(pods, 'debugged/ephemeralcontainers?dryRun=All', {
        spec: { ephemeralContainers: [container] },
      })
      return 'allowed'
    } catch (error) {
      return error instanceof Error ? error.message : ''
    }
  }
  t.is(await debug({}), 'allowed')
  t.is(await debug({ targetContainerName: 'app' }), 'allowed')
  t.is(await debug({ volumeMounts: [{ name: 'own', mountPath: '/v' }] }), 'allowed')
  t.regex(
    await debug({ volumeMounts: [{ name: 'latchkey-files-1', mountPath: '/v' }] }),
    /mounts a volume of Latchkey/,
  )
  t.regex(await debug({ targetContainerName: 'latchkey' }), /joins the process ids/)
})

test('where it is asked for, only who may use an account creates workloads of it', async (t) => {
  const labels = { 'policies.latchkey.dev/use-account': 'enforce' }
  const namespace = 'accounts'
  await server.admin.create(collection('v1', 'namespaces'), {
    metadata: { name: namespace, labels },
  })
  for (const name of ['default', 'web']) {
    await server.admin.create(collection('v1', 'serviceaccounts', namespace), {
      metadata: { name },
    })
  }
  const rbac = 'rbac.authorization.k8s.io/v1'
  const grant = async (name: string, rule: Fields, user: string): Promise<void> => {
    await server.admin.create(collection(rbac, 'roles', namespace), {
      metadata: { name },
      rules: [{ apiGroups: [''], ...rule }],
    })
    await server.admin.create(collection(rbac, 'rolebindings', namespace), {
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: user }],
    })
  }
  const controller = 'system:serviceaccount:kube-system:replicaset-controller'
  for (const [index, user] of ['jane', controller].entries()) {
    await grant(`pods-${index}`, { resources: ['pods'], verbs: ['create'] }, user)
  }
  const use = { resources: ['serviceaccounts'], resourceNames: ['web'], verbs: ['use'] }
  await grant('use-web', use, 'jane')
  const as = async (user: string, account: string | undefined): Promise<string> => {
    const who = await server.as({ name: user })
    const spec = account === undefined ? {} : { serviceAccountName: account }
    try {
      await who.create(`${collection('v1', 'pods', namespace)}?dryRun=All`, pod(spec))
      return 'allowed'
    } catch (error) {
      return error instanceof Error ? error.message : ''
    }
  }
  // The authorizer learns of the binding by a watch of its own.
  await until('the grants', async () => (await as('jane', 'web')) === 'allowed', {
    timeoutMs: 10_000,
  })
  t.regex(
    await as('jane', undefined),
    /jane may not use service account default of namespace accounts/,
  )
  t.is(await as(controller, undefined), 'allowed')
})
