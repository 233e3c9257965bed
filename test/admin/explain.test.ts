import test, { type ExecutionContext } from 'ava'
import { parseAllDocuments } from 'yaml'
import { explain, type ExplainFlags } from '../../src/admin/explain/explain.ts'
import { createKubernetesClient } from '../../src/clients/kubernetes.ts'
import { recordedContext, type RecordedContext } from '../support/admin-context.ts'
import { startFakeKubernetes, type FakeKubernetes } from '../support/fake-kubernetes.ts'

const list = `- { secret: db, key: password, path: /etc/app/db/password }
- { secret: tls, path: /etc/app/tls/, containers: [proxy] }
`
const spec = { serviceAccountName: 'web', containers: [{ name: 'app' }, { name: 'proxy' }] }
const flags: ExplainFlags = {
  name: undefined,
  file: undefined,
  namespace: 'shop',
  output: 'table',
  grants: false,
}

interface Ground extends RecordedContext {
  readonly kubernetes: FakeKubernetes
  readonly ask: (
    asked: Partial<ExplainFlags>,
    manifest?: string,
    offline?: boolean,
  ) => Promise<boolean>
}

async function ground(t: ExecutionContext): Promise<Ground> {
  const kubernetes = await startFakeKubernetes(t)
  const client = createKubernetesClient(kubernetes.access, {
    clock: { monotonicMs: () => performance.now() },
  })
  t.teardown(() => {
    client.close()
  })
  const context = await recordedContext(t)
  return {
    ...context,
    kubernetes,
    ask: (asked, manifest = '', offline = false) =>
      explain(
        {
          terminal: context.terminal,
          readText: async () => manifest,
          cluster: offline ? { absent: 'no kubeconfig was found' } : client,
          signal: new AbortController().signal,
        },
        { ...flags, ...asked },
      ),
  }
}

const manifest = JSON.stringify({
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'shop' },
  spec: { template: { metadata: { annotations: { 'latchkey.dev/secrets': list } }, spec } },
})

const injected = {
  metadata: {
    name: 'web-1',
    annotations: {
      'latchkey.dev/secrets': list,
      'latchkey.dev/plan': JSON.stringify([
        { secret: 'db', key: 'password', path: '/etc/app/db/password', mode: '0440', group: 7 },
        { secret: 'tls', path: '/etc/app/tls/', mode: '0400', containers: ['proxy'] },
      ]),
    },
  },
  spec: {
    ...spec,
    initContainers: [{ name: 'latchkey', securityContext: { runAsUser: 1000, runAsGroup: 64999 } }],
  },
}

test('a manifest is explained entry by entry, with what RBAC says of each', async (t) => {
  const { ask, data, kubernetes } = await ground(t)
  kubernetes.allow = () => true
  t.true(await ask({ file: 'web.yaml' }, manifest))
  t.deepEqual(data, [
    'Deployment web, namespace shop, service account web',
    "expected, with the webhook's default user and group",
    'PATH                   SECRET   CONTENT        MOUNT       MODE   OWNER         CONTAINERS   ALLOWED',
    '/etc/app/db/password   db       key password   directory   0440   64999:64999   app,proxy    yes',
    '/etc/app/tls/          tls      every key      directory   0440   64999:64999   proxy        yes',
  ])
})

test('the question is the one that the broker asks, of the namespace itself', async (t) => {
  const { ask, kubernetes } = await ground(t)
  kubernetes.allow = () => true
  await ask({ file: 'web.yaml' }, manifest)
  const asked = kubernetes.asked('POST', 'localsubjectaccessreviews')
  t.is(asked[0]?.path, '/apis/authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews')
  t.deepEqual(asked[0]?.body['spec'], {
    user: 'system:serviceaccount:shop:web',
    uid: '',
    groups: ['system:serviceaccounts', 'system:serviceaccounts:shop', 'system:authenticated'],
    extra: {},
    resourceAttributes: {
      verb: 'mount',
      group: '',
      version: 'v1',
      resource: 'secrets',
      namespace: 'shop',
      name: 'db',
    },
  })
})

test('what is denied comes with the Role and RoleBinding that allow it, and no other', async (t) => {
  const { ask, data, kubernetes } = await ground(t)
  kubernetes.allow = (review) => (review['resourceAttributes'] as { name: string }).name === 'db'
  t.false(await ask({ file: 'web.yaml' }, manifest))
  t.regex(data.find((line) => line.startsWith('/etc/app/tls/')) ?? '', /NO$/)
  data.length = 0
  t.false(await ask({ file: 'web.yaml', grants: true }, manifest))
  t.deepEqual(
    parseAllDocuments(data.join('\n')).map((document) => document.toJS() as unknown),
    [
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'Role',
        metadata: { name: 'latchkey-mount-tls', namespace: 'shop' },
        rules: [
          { apiGroups: [''], resources: ['secrets'], resourceNames: ['tls'], verbs: ['mount'] },
        ],
      },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'RoleBinding',
        metadata: { name: 'latchkey-mount-tls:web', namespace: 'shop' },
        roleRef: {
          apiGroup: 'rbac.authorization.k8s.io',
          kind: 'Role',
          name: 'latchkey-mount-tls',
        },
        subjects: [{ kind: 'ServiceAccount', name: 'web', namespace: 'shop' }],
      },
    ],
  )
})

test('a running pod is explained by what was injected into it', async (t) => {
  const { ask, data, kubernetes } = await ground(t)
  kubernetes.allow = () => true
  kubernetes.put('/api/v1/namespaces/shop/pods', injected)
  t.true(await ask({ name: 'web-1' }))
  t.deepEqual(data, [
    'Pod web-1, namespace shop, service account web',
    'injected, and so it is',
    'PATH                   SECRET   CONTENT        MOUNT       MODE   OWNER        CONTAINERS   ALLOWED',
    '/etc/app/db/password   db       key password   directory   0440   1000:7       app,proxy    yes',
    '/etc/app/tls/          tls      every key      directory   0400   1000:64999   proxy        yes',
  ])
})

test('a running pod that nothing was injected into is not all right', async (t) => {
  const { ask, data, kubernetes } = await ground(t)
  kubernetes.allow = () => true
  const { metadata } = injected
  kubernetes.put('/api/v1/namespaces/shop/pods', {
    metadata: { ...metadata, annotations: { 'latchkey.dev/secrets': list } },
    spec,
  })
  t.false(await ask({ name: 'web-1' }))
  t.regex(data[1] ?? '', /^NOT INJECTED/)
})

test('a list that cannot come true is told with its line', async (t) => {
  const { ask, data } = await ground(t)
  const wrong = manifest.replace('[proxy]', '[nobody]')
  t.false(await ask({ file: '-' }, wrong))
  t.deepEqual(data.slice(1), [
    'cannot be admitted:',
    '  line 2: entry 2, containers: names nobody, which the pod does not have; name some of app, proxy',
  ])
})

test('without a cluster, or without the right to ask, the rest is still told', async (t) => {
  const { ask, data, said, kubernetes } = await ground(t)
  t.true(await ask({ file: '-' }, manifest, true))
  t.regex(data[3] ?? '', /not asked$/)
  t.deepEqual(said, ['whether it is allowed was not asked: no kubeconfig was found'])
  said.length = 0
  kubernetes.fault = () => 403
  t.true(await ask({ file: '-' }, manifest))
  t.deepEqual(said, [
    'whether it is allowed was not asked: you may not create localsubjectaccessreviews in namespace shop',
  ])
})

test('json says the same for tools', async (t) => {
  const { ask, data, kubernetes } = await ground(t)
  kubernetes.allow = () => false
  await ask({ file: '-', output: 'json' }, manifest)
  const { pods, grants } = JSON.parse(data.join('')) as { pods: unknown[]; grants: unknown[] }
  t.is(grants.length, 4)
  t.like(pods[0], {
    title: 'Deployment web',
    state: 'expected',
    entries: [
      { secret: 'db', permission: { kind: 'denied' } },
      { secret: 'tls', containers: ['proxy'] },
    ],
  })
})

test('what cannot be explained is an error with a remedy', async (t) => {
  const { ask, kubernetes } = await ground(t)
  await t.throwsAsync(ask({}), { code: 'ERR_USAGE' })
  await t.throwsAsync(ask({ name: 'web-1' }), {
    code: 'ERR_KUBERNETES_NOT_FOUND',
    message: 'there is no pod web-1 in namespace shop',
  })
  await t.throwsAsync(ask({ name: 'web-1' }, '', true), { code: 'ERR_KUBERNETES_CONFIG' })
  kubernetes.put('/api/v1/namespaces/shop/pods', { metadata: { name: 'plain' }, spec })
  await t.throwsAsync(ask({ name: 'plain' }), { code: 'ERR_USAGE', message: /declares no secrets/ })
  await t.throwsAsync(ask({ file: 'f' }, 'a: ['), { code: 'ERR_CONFIG_INVALID' })
  await t.throwsAsync(ask({ file: 'f' }, 'kind: Service'), { code: 'ERR_USAGE' })
})
