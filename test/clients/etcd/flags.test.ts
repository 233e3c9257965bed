import test from 'ava'
import { parseEtcdFlags, parseEtcdUrl, printEndpoints } from '../../../src/clients/etcd/flags.ts'

const files = { etcdCa: 'pki/ca.crt', etcdCert: '/pki/client.crt', etcdKey: '/pki/client.key' }

test('each --etcd is one cluster, its members joined by commas', (t) => {
  const accesses = parseEtcdFlags(
    {
      etcd: ['https://10.0.0.1:2379,https://10.0.0.2:2379', 'https://[::1]:2381,db.local:2379/'],
      ...files,
    },
    '/base',
  )
  t.deepEqual(accesses.map(printEndpoints), [
    'https://10.0.0.1:2379,https://10.0.0.2:2379',
    'https://[::1]:2381,https://db.local:2379',
  ])
  t.deepEqual(accesses[0]?.tls, {
    ca: '/base/pki/ca.crt',
    identity: { cert: '/pki/client.crt', key: '/pki/client.key' },
  })
})

test('a member that is named twice is one', (t) => {
  const [access] = parseEtcdFlags({ etcd: ['https://a:1,https://a:1,https://b:1'] }, '/')
  t.is(access?.endpoints.length, 2)
})

test('without TLS only the machine itself is asked', (t) => {
  const [access] = parseEtcdFlags({ etcd: ['http://127.0.0.1:2379,http://localhost:2380'] }, '/')
  t.is(access?.tls, undefined)
  t.throws(() => parseEtcdFlags({ etcd: ['http://10.0.0.1:2379'] }, '/'), {
    code: 'ERR_CONFIG_INVALID',
    message: /10\.0\.0\.1:2379 without TLS/,
  })
})

for (const url of [
  '',
  '10.0.0.1:2379',
  'https://',
  'https://a',
  'ftp://a:1',
  'https://a:1,http://b:1',
  'https://a:1/x',
  'https://u:p@a:1',
]) {
  test(`no URL of etcd: "${url}"`, (t) => {
    t.throws(() => parseEtcdFlags({ etcd: [url] }, '/'), { code: 'ERR_CONFIG_INVALID' })
  })
}

test('certificate and key go together, and something must be named', (t) => {
  t.throws(() => parseEtcdFlags({ etcd: ['https://a:1'], etcdCert: 'c' }, '/'), {
    code: 'ERR_USAGE',
  })
  t.throws(() => parseEtcdFlags({ etcd: ['https://a:1'], etcdKey: 'k' }, '/'), {
    code: 'ERR_USAGE',
  })
  t.throws(() => parseEtcdFlags({ etcd: [] }, '/'), { code: 'ERR_USAGE' })
})

test('a keyring in etcd is members and a prefix', (t) => {
  const options = { cwd: '/', field: 'keyring' }
  for (const [text, endpoints, prefix] of [
    ['etcd:https://10.0.0.1:2379/latchkey', 'https://10.0.0.1:2379', '/latchkey'],
    ['etcd:https://a:1,https://b:2/latchkey/', 'https://a:1,https://b:2', '/latchkey'],
    ['etcd:https://a:1,b:2/one/two.3', 'https://a:1,https://b:2', '/one/two.3'],
    ['etcd:http://127.0.0.1:2379/k', 'http://127.0.0.1:2379', '/k'],
  ] as const) {
    const parsed = parseEtcdUrl(text, {}, options)
    t.is(parsed.prefix, prefix)
    t.is(printEndpoints(parsed.access), endpoints)
  }
})

for (const text of [
  'etcd:https://a:1',
  'etcd:https://a:1/',
  'etcd:https://a:1//',
  'etcd:https://a:1/a//b',
  'etcd:https://a:1/registry',
  'etcd:https://a:1/registry/secrets',
  'etcd:https://a:1/sp ace',
  'etcd:a:1/latchkey',
  'etcd:/latchkey',
  'etcd:https://a:1/../x y',
]) {
  test(`no keyring in etcd: "${text}"`, (t) => {
    t.throws(() => parseEtcdUrl(text, {}, { cwd: '/', field: 'keyring' }), {
      code: 'ERR_CONFIG_INVALID',
    })
  })
}
