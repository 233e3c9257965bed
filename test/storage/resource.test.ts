import test from 'ava'
import { keyPrefixOf, parseEtcdKey } from '../../src/storage/resource.ts'

for (const [key, resource, namespace, name] of [
  ['/registry/secrets/shop/db', 'secrets', 'shop', 'db'],
  ['/registry/namespaces/shop', 'namespaces', '', 'shop'],
  ['/registry/deployments/shop/web', 'deployments.apps', 'shop', 'web'],
  ['/registry/services/specs/shop/web', 'services', 'shop', 'web'],
  ['/registry/services/endpoints/shop/web', 'endpoints', 'shop', 'web'],
  ['/registry/minions/node-1', 'nodes', '', 'node-1'],
  ['/registry/controllers/shop/web', 'replicationcontrollers', 'shop', 'web'],
  ['/registry/ingress/shop/web', 'ingresses.networking.k8s.io', 'shop', 'web'],
  [
    '/registry/clusterroles/system:node',
    'clusterroles.rbac.authorization.k8s.io',
    '',
    'system:node',
  ],
  ['/registry/leases/kube-system/x', 'leases.coordination.k8s.io', 'kube-system', 'x'],
  ['/registry/example.com/widgets/shop/w', 'widgets.example.com', 'shop', 'w'],
  ['/registry/example.com/clusterwidgets/w', 'clusterwidgets.example.com', '', 'w'],
  [
    '/registry/apiregistration.k8s.io/apiservices/v1.apps',
    'apiservices.apiregistration.k8s.io',
    '',
    'v1.apps',
  ],
] as const) {
  test(`${key} is ${name} of ${resource}`, (t) => {
    t.like(parseEtcdKey(key), { resource, namespace, name, exempt: false })
    t.true(key.startsWith(keyPrefixOf(resource)))
  })
}

test('what API servers never encrypt is told', (t) => {
  for (const key of [
    '/registry/ranges/serviceips',
    '/registry/masterleases/10.0.0.1',
    '/registry/peerserverleases/apiserver-x',
  ]) {
    t.true(parseEtcdKey(key)?.exempt, key)
  }
})

test('keys that are no object of an API server are none', (t) => {
  for (const key of [
    'compact_rev_key',
    '/registry',
    '/registry/',
    '/registry/secrets/',
    '/registry/secrets',
    '/registry/secrets//db',
    '/registry/secrets/a/b/c',
    '/registry/example.com/widgets',
    '/registryx/secrets/a/b',
    '/latchkey/keyring',
    '',
  ]) {
    t.is(parseEtcdKey(key), undefined, key)
  }
})

test('another prefix is one', (t) => {
  t.like(parseEtcdKey('/kubernetes.io/secrets/a/b', '/kubernetes.io'), { resource: 'secrets' })
  t.is(parseEtcdKey('/registry/secrets/a/b', '/kubernetes.io'), undefined)
  t.is(keyPrefixOf('services', '/k'), '/k/services/specs/')
})

test('the group of a built-in resource may be left out', (t) => {
  t.is(keyPrefixOf('deployments'), '/registry/deployments/')
  t.is(keyPrefixOf('deployments.apps'), '/registry/deployments/')
  t.is(keyPrefixOf('deployments.example.com'), '/registry/example.com/deployments/')
})
