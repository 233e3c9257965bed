import test from 'ava'
import { broker, event, runSuggest, webhook } from '../../support/rbac-suggest.ts'

test('what broker and webhook did becomes one Role a namespace and one ClusterRole', async (t) => {
  const secrets = { resource: 'secrets', namespace: 'shop' }
  const configurations = {
    resource: 'mutatingwebhookconfigurations',
    apiGroup: 'admissionregistration.k8s.io',
    name: 'injector.latchkey.dev',
  }
  const { report } = await runSuggest(t, {
    api: [
      event(broker, 'list', { objectRef: secrets }),
      event(broker, 'watch', { objectRef: secrets, stage: 'ResponseStarted' }),
      event(broker, 'get', { objectRef: { resource: 'pods', namespace: 'shop', name: 'web-1' } }),
      event(broker, 'get', { objectRef: { resource: 'pods', namespace: 'shop', name: 'web-2' } }),
      event(broker, 'create', { objectRef: { resource: 'events', namespace: 'shop', name: 'e' } }),
      event(broker, 'get', { requestURI: '/healthz?verbose', objectRef: undefined }),
      event(broker, 'get', { requestURI: '/metrics?x', objectRef: undefined }),
      event(broker, 'create', {
        objectRef: { resource: 'selfsubjectaccessreviews', apiGroup: 'authorization.k8s.io' },
      }),
      event(webhook, 'get', { objectRef: configurations }),
      event(webhook, 'patch', { objectRef: configurations }),
      event(webhook, 'delete', {
        objectRef: configurations,
        annotations: { 'authorization.k8s.io/decision': 'forbid' },
      }),
      event('system:serviceaccount:shop:web', 'list', { objectRef: secrets }),
      event('jane', 'list', { objectRef: secrets }),
    ],
  })
  t.deepEqual(
    report.roles.items.map(({ kind, metadata, rules }) => [kind, metadata, rules]),
    [
      [
        'ClusterRole',
        { name: 'latchkey:suggested:latchkey-system:latchkey-broker' },
        [{ nonResourceURLs: ['/metrics'], verbs: ['get'] }],
      ],
      [
        'ClusterRoleBinding',
        { name: 'latchkey:suggested:latchkey-system:latchkey-broker' },
        undefined,
      ],
      [
        'Role',
        { name: 'latchkey:suggested:latchkey-system:latchkey-broker', namespace: 'shop' },
        [
          { apiGroups: [''], resources: ['events'], verbs: ['create'] },
          { apiGroups: [''], resources: ['pods'], verbs: ['get'] },
          { apiGroups: [''], resources: ['secrets'], verbs: ['list', 'watch'] },
        ],
      ],
      [
        'RoleBinding',
        { name: 'latchkey:suggested:latchkey-system:latchkey-broker', namespace: 'shop' },
        undefined,
      ],
      [
        'ClusterRole',
        { name: 'latchkey:suggested:latchkey-system:latchkey-webhook' },
        [
          {
            apiGroups: ['admissionregistration.k8s.io'],
            resources: ['mutatingwebhookconfigurations'],
            resourceNames: ['injector.latchkey.dev'],
            verbs: ['get', 'patch'],
          },
        ],
      ],
      [
        'ClusterRoleBinding',
        { name: 'latchkey:suggested:latchkey-system:latchkey-webhook' },
        undefined,
      ],
    ],
  )
})

test('an account that is named is looked at too; an impersonated one is whose act it was', async (t) => {
  const objectRef = { resource: 'configmaps', namespace: 'shop', name: 'c' }
  const web = 'system:serviceaccount:shop:web'
  const { names } = await runSuggest(
    t,
    {
      api: [
        event(web, 'get', { objectRef }),
        event('admin', 'update', { objectRef, impersonatedUser: { username: web } }),
        event(web, 'delete', { objectRef, impersonatedUser: { username: 'other' } }),
      ],
    },
    { account: [{ namespace: 'shop', name: 'web' }] },
  )
  t.deepEqual(names, [
    'Role shop/latchkey:suggested:shop:web',
    'RoleBinding shop/latchkey:suggested:shop:web',
  ])
})

test('a request that is written like a wildcard is never made a rule', async (t) => {
  const hostile = 'system:serviceaccount:shop:web'
  const refused = { annotations: { 'authorization.k8s.io/decision': 'forbid' } }
  const { report } = await runSuggest(
    t,
    {
      api: [
        event(hostile, 'get', { objectRef: { resource: '*', namespace: 'shop' }, ...refused }),
        event(hostile, 'get', { objectRef: { resource: '*/scale', namespace: 'shop' } }),
        event(hostile, 'get', {
          objectRef: { resource: 'pods', subresource: '*', namespace: 'shop' },
        }),
        event(hostile, 'get', {
          objectRef: { resource: 'secrets', apiGroup: '*', namespace: 'shop' },
        }),
        event(hostile, '*', { requestURI: '/metrics', objectRef: undefined }),
        event(hostile, 'get', { requestURI: '/*', objectRef: undefined, ...refused }),
        event(hostile, 'get', { objectRef: { resource: 'pods', namespace: 'a/../b' } }),
        event(hostile, 'get', { objectRef: { resource: 'configmaps', namespace: 'shop' } }),
      ],
    },
    { denied: true, account: [{ namespace: 'shop', name: 'web' }] },
  )
  t.deepEqual(
    report.roles.items.flatMap(({ rules }) => (rules === undefined ? [] : [rules])),
    [[{ apiGroups: [''], resources: ['configmaps'], verbs: ['get'] }]],
  )
})
