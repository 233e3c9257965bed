import test from 'ava'
import { parseAllDocuments } from 'yaml'
import { startFakeKubernetes } from '../../support/fake-kubernetes.ts'
import {
  type Fields,
  broker,
  decided,
  event,
  putGrant,
  runSuggest,
} from '../../support/rbac-suggest.ts'

test('the YAML is what kubectl takes, and says in comments what nobody used', async (t) => {
  const kubernetes = await startFakeKubernetes(t)
  putGrant(kubernetes, 'unused', { resourceNames: ['tls'] })
  const { context } = await runSuggest(
    t,
    { broker: [decided('secret.allowed', 'db')] },
    { output: 'yaml' },
    kubernetes,
  )
  const documents = parseAllDocuments(context.data.join('\n')).map((each) => each.toJS() as Fields)
  t.deepEqual(
    documents.map(({ kind }) => kind),
    ['Role', 'RoleBinding'],
  )
  t.regex(
    context.data.at(-1) ?? '',
    /^# unused \(RoleBinding shop\/unused, Role unused: ServiceAccount shop\/web may mount secrets\/tls\), from 2026/,
  )
})

test('grants that nobody used are found, whole or in part', async (t) => {
  const kubernetes = await startFakeKubernetes(t)
  putGrant(kubernetes, 'used', { resourceNames: ['db'] })
  putGrant(kubernetes, 'half', { resourceNames: ['db', 'tls'] })
  putGrant(kubernetes, 'all', {})
  putGrant(kubernetes, 'star', { verbs: ['*'], resources: ['*'], apiGroups: ['*'] })
  putGrant(kubernetes, 'reads', { verbs: ['get'] })
  const user = { kind: 'User', name: 'jane' }
  putGrant(kubernetes, 'people', {}, user)
  const others = { kind: 'Group', name: 'system:serviceaccounts:bank' }
  putGrant(kubernetes, 'others', {}, others)
  putGrant(kubernetes, 'group', {}, { kind: 'Group', name: 'system:serviceaccounts:shop' })
  const { report } = await runSuggest(
    t,
    { broker: [decided('secret.allowed', 'db')] },
    {},
    kubernetes,
  )
  t.deepEqual(
    report.unused?.map(({ binding, name, used }) => [(binding as Fields)['name'], name, used]),
    [
      ['half', 'tls', []],
      ['all', '', ['db']],
      ['star', '', ['db']],
      ['others', '', []],
      ['group', '', ['db']],
    ],
  )
})

test('rights of broker and webhook are compared where the log of the API server is there', async (t) => {
  const kubernetes = await startFakeKubernetes(t)
  const rbac = '/apis/rbac.authorization.k8s.io/v1'
  kubernetes.put(`${rbac}/clusterroles`, {
    metadata: { name: 'latchkey-broker' },
    rules: [
      { apiGroups: [''], resources: ['serviceaccounts'], verbs: ['list', 'watch'] },
      { nonResourceURLs: ['/metrics/*'], verbs: ['get'] },
    ],
  })
  kubernetes.put(`${rbac}/clusterrolebindings`, {
    metadata: { name: 'latchkey-broker' },
    roleRef: { kind: 'ClusterRole', name: 'latchkey-broker' },
    subjects: [{ kind: 'ServiceAccount', name: 'latchkey-broker', namespace: 'latchkey-system' }],
  })
  const list = event(broker, 'list', { objectRef: { resource: 'serviceaccounts' } })
  const first = await runSuggest(t, { api: [list] }, {}, kubernetes)
  t.deepEqual(
    first.report.unused?.map(({ verb, resource, path }) => [verb, resource, path]),
    [
      ['watch', 'serviceaccounts', ''],
      ['get', '', '/metrics/*'],
    ],
  )
  const scraped = event(broker, 'get', { requestURI: '/metrics/slis', objectRef: undefined })
  const second = await runSuggest(t, { api: [list, scraped] }, {}, kubernetes)
  t.is(second.report.unused?.length, 1)
  const { report } = await runSuggest(
    t,
    { broker: [decided('secret.allowed', 'db')] },
    {},
    kubernetes,
  )
  t.deepEqual(report.unused, [])
})
