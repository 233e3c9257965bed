import test from 'ava'
import { parse } from 'yaml'
import { parseEncryptionConfig } from '../../src/storage/encryption-config.ts'
import { splitResourceName } from '../../src/storage/resource.ts'
import { etcdVectors } from '../support/etcd-vectors.ts'

const key = Buffer.alloc(32, 7).toString('base64')

function parsed(resources: string): ReturnType<typeof parseEncryptionConfig> {
  return parseEncryptionConfig(
    parse(`apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n${resources}`),
  )
}

test('each resource is written by the first provider of the entry that fits best', (t) => {
  using config = parsed(`
resources:
  - resources: [secrets, widgets.example.com]
    providers:
      - kms: { apiVersion: v2, name: latchkey, endpoint: "unix:///x" }
      - identity: {}
  - resources: [configmaps, secrets]
    providers:
      - secretbox: { keys: [{ name: one, secret: "${key}" }, { name: two, secret: "${key}" }] }
  - resources: ["*.apps"]
    providers: [{ aescbc: { keys: [{ name: cbc, secret: "${key}" }] } }]
  - resources: ["*."]
    providers: [{ identity: {} }]
  - resources: ["*.*"]
    providers:
      - kms: { name: old, endpoint: "unix:///y" }
`)
  const writers = [
    'secrets',
    'widgets.example.com',
    'configmaps',
    'deployments.apps',
    'pods',
    'leases.coordination.k8s.io',
  ].map((name) => config.writerOf(splitResourceName(name)))
  t.deepEqual(writers, [
    'kms:v2:latchkey',
    'kms:v2:latchkey',
    'secretbox:v1:one',
    'aescbc:v1:cbc',
    'identity',
    'kms:v1:old',
  ])
  t.deepEqual(
    config.keys.map(({ kind, name }) => `${kind}/${name}`),
    ['secretbox/one', 'secretbox/two', 'aescbc/cbc'],
  )
})

test('a resource that no entry names is written as it is', (t) => {
  using config = parsed('resources: [{ resources: [secrets], providers: [{ identity: {} }] }]')
  t.is(config.writerOf({ group: '', plural: 'pods' }), undefined)
  t.is(config.writerOf({ group: 'example.com', plural: 'secrets' }), undefined)
})

test('its keys are wiped with it', async (t) => {
  const { encryptionConfig } = await etcdVectors()
  const config = parseEncryptionConfig(parse(encryptionConfig))
  t.deepEqual(
    config.keys.map(({ secret }) => secret.byteLength),
    [32, 16, 32, 24, 32],
  )
  config[Symbol.dispose]()
  for (const { secret } of config.keys) t.throws(() => secret.expose(), { instanceOf: TypeError })
})

for (const [what, resources, message] of [
  ['no list', 'resources: 5', /resources is not a list/],
  ['no provider', 'resources: [{ resources: [secrets], providers: [] }]', /providers is empty/],
  [
    'an unknown provider',
    'resources: [{ resources: [secrets], providers: [{ vault: {} }] }]',
    /that Kubernetes does not have/,
  ],
  [
    'two providers in one',
    'resources: [{ resources: [secrets], providers: [{ identity: {}, kms: {} }] }]',
    /must name one provider/,
  ],
  [
    'a short key',
    'resources: [{ resources: [secrets], providers: [{ secretbox: { keys: [{ name: k, secret: YWJj }] } }] }]',
    /secret has 3 bytes, expected 32/,
  ],
  [
    'a key that is not base64',
    'resources: [{ resources: [secrets], providers: [{ aesgcm: { keys: [{ name: k, secret: "?" }] } }] }]',
    /secret is not base64/,
  ],
  [
    'a nameless kms',
    'resources: [{ resources: [secrets], providers: [{ kms: {} }] }]',
    /kms.name is missing/,
  ],
] as const) {
  test(`a configuration with ${what} is refused`, (t) => {
    const error = t.throws(() => parsed(resources), { code: 'ERR_CONFIG_INVALID', message })
    t.false(error.message.includes('YWJj'))
  })
}

test('another document is refused', (t) => {
  for (const document of [null, [], 'text', {}, { kind: 'EncryptionConfiguration' }]) {
    t.throws(() => parseEncryptionConfig(document), { code: 'ERR_CONFIG_INVALID' })
  }
})
