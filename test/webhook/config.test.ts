import test from 'ava'
import { readWebhookCommand, type WebhookConfig } from '../../src/webhook/config.ts'

const read = async (
  text: string,
  args: readonly string[] = [],
  namespace: string | undefined = 'latchkey-system',
): Promise<WebhookConfig> => {
  const command = await readWebhookCommand(['--config', 'f', '--pod', 'webhook-1', ...args], {
    readText: async () => text,
    ownNamespace: async () => namespace,
  })
  if (command.kind !== 'serve') throw new Error(command.kind)
  return command.config
}

test('an empty configuration is the install’s', async (t) => {
  t.deepEqual(await read(''), {
    listen: { host: '::', port: 8443 },
    metrics: undefined,
    namespace: 'latchkey-system',
    pod: 'webhook-1',
    exemptNamespaces: ['latchkey-system', 'kube-system'],
    kubeconfig: undefined,
    audit: undefined,
    auditLimit: undefined,
    logLevel: 'info',
    drainMs: 5000,
    configurationName: 'injector.latchkey.dev',
    sidecar: {
      image: undefined,
      imagePullPolicy: 'IfNotPresent',
      imagePullSecrets: [],
      uid: 64_999,
      gid: 64_999,
      preferFsGroup: false,
      broker: { host: 'latchkey-broker.latchkey-system.svc', port: 24_443 },
      audience: 'latchkey',
      tokenSeconds: 3600,
      requests: { cpu: '5m', memory: '24Mi' },
      limits: { memory: '96Mi' },
      volumeBytesPerEntry: 4 * 2 ** 20,
      healthPort: 24_442,
      hostPorts: { first: 25_000, count: 4_000 },
      mesh: 'exclude',
      logLevel: 'info',
      metricsPort: undefined,
      maxStale: undefined,
    },
    certificates: {
      issuer: 'self',
      authorityLifetimeMs: 10 * 365 * 86_400_000,
      authorityNoticeMs: 30 * 86_400_000,
      webhookLifetimeMs: 86_400_000,
      brokerLifetimeMs: 3 * 86_400_000,
      webhookNames: [
        'latchkey-webhook.latchkey-system.svc',
        'latchkey-webhook.latchkey-system.svc.cluster.local',
      ],
      brokerNames: [
        'latchkey-broker.latchkey-system.svc',
        'latchkey-broker.latchkey-system.svc.cluster.local',
      ],
    },
  })
})

test('flags win over the file', async (t) => {
  const file = 'listen: "127.0.0.1:1"\nnamespace: a\nsidecar: { image: one, user: 5 }\n'
  const flags = ['--listen', '127.0.0.1:2', '--namespace', 'b', '--image', 'two']
  t.like(await read(file, flags), {
    listen: { host: '127.0.0.1', port: 2 },
    namespace: 'b',
    exemptNamespaces: ['b', 'kube-system'],
    sidecar: { image: 'two', uid: 5 },
  })
  t.like(await read('', ['--image', 'two']), { sidecar: { image: 'two' } })
  t.like(await read('namespace: a'), { namespace: 'a' })
})

test('what the operator decides about sidecars is read', async (t) => {
  const file = `
broker: broker.example:7
audience: other
exempt-namespaces: [kube-node-lease]
sidecar:
  user: assigned
  group: 7
  prefer-fs-group: true
  image-pull-policy: Always
  image-pull-secrets: [registry]
  token-lifetime: 10m
  requests: { cpu: 0.02, memory: 98304Ki }
  limits: { cpu: 20m, memory: 96Mi, ephemeral-storage: 10Mi }
  volume-size: 1Mi
  health-port: 9000
  host-ports: { first: 20000, count: 10 }
  mesh: through
  log-level: debug
  metrics-port: 9100
  max-stale: 60m
  on-stale: unready
`
  t.like(await read(file), {
    exemptNamespaces: ['latchkey-system', 'kube-system', 'kube-node-lease'],
    sidecar: {
      uid: 'assigned',
      gid: 7,
      preferFsGroup: true,
      imagePullPolicy: 'Always',
      imagePullSecrets: ['registry'],
      broker: { host: 'broker.example', port: 7 },
      audience: 'other',
      tokenSeconds: 600,
      requests: { cpu: '20m', memory: '96Mi', 'ephemeral-storage': '10Mi' },
      limits: { cpu: '20m', memory: '96Mi', 'ephemeral-storage': '10Mi' },
      volumeBytesPerEntry: 2 ** 20,
      healthPort: 9000,
      hostPorts: { first: 20_000, count: 10 },
      mesh: 'through',
      logLevel: 'debug',
      metricsPort: 9100,
      maxStale: { after: '1h', action: 'unready' },
    },
  })
})

test('certificates may be somebody else’s', async (t) => {
  const file = 'certificates: { issuer: files, cert: c, key: k, broker-ca: b }'
  const certificates = { issuer: 'files', cert: 'c', key: 'k', brokerCa: 'b' } as const
  t.like(await read(file), { certificates })
})

const mistakes: readonly (readonly [text: string, message: string])[] = [
  ['brokr: a:1', 'brokr is not a field of the configuration'],
  ['sidecar: { imag: x }', 'sidecar.imag is not a field of the configuration'],
  [
    'sidecar: { host-ports: { last: 1 } }',
    'sidecar.host-ports.last is not a field of the configuration',
  ],
  ['sidecar: []', 'sidecar is not a mapping'],
  ['[]', 'the configuration file is not a mapping'],
  ['a: [', 'the configuration file is not YAML (BAD_INDENT, line 1)'],
  ['broker: here', 'broker is not HOST:PORT'],
  ['listen: 8443', 'listen is not text'],
  ['log-level: loud', 'log-level is none of debug, info, warn, error'],
  ['exempt-namespaces: shop', 'exempt-namespaces is not a list of texts'],
  ['sidecar: { user: root }', 'sidecar.user is not a whole number from 1 to 2147483647'],
  ['sidecar: { user: 0 }', 'sidecar.user is not a whole number from 1 to 2147483647'],
  ['sidecar: { group: 1.5 }', 'sidecar.group is not a whole number from 1 to 2147483647'],
  ['sidecar: { prefer-fs-group: "no" }', 'sidecar.prefer-fs-group is neither true nor false'],
  ['sidecar: { token-lifetime: 60 }', 'sidecar.token-lifetime is not text'],
  ['sidecar: { token-lifetime: 9m }', 'sidecar.token-lifetime is not a duration from 10m to 24h'],
  [
    'sidecar: { limits: { memory: 64Mi } }',
    'sidecar.limits.memory is less than 96Mi, with which a cold start thrashes',
  ],
  [
    'sidecar: { limits: { memory: much } }',
    'sidecar.limits.memory is not an amount of memory, such as 96Mi',
  ],
  [
    'sidecar: { limits: { gpu: 1 } }',
    'sidecar.limits.gpu is none of cpu, memory, ephemeral-storage',
  ],
  [
    'sidecar: { requests: { cpu: lots } }',
    'sidecar.requests.cpu is not an amount of CPU, such as 10m',
  ],
  [
    'sidecar: { requests: { cpu: [] } }',
    'sidecar.requests.cpu is not an amount, such as 10m or 96Mi',
  ],
  [
    'sidecar: { volume-size: 1Ki }',
    'sidecar.volume-size is not an amount of memory from 64Ki to 1Gi',
  ],
  ['sidecar: { mesh: consul }', 'sidecar.mesh is none of exclude, through, ignore'],
  [
    'sidecar: { host-ports: { first: 65535, count: 2 } }',
    'sidecar.host-ports.count is not a whole number from 1 to 1',
  ],
  [
    'certificates: { issuer: files, cert: c }',
    'certificates.key is missing; it goes with issuer: files',
  ],
  [
    'certificates: { issuer: files, cert: c, key: k, broker-ca: b, webhook-lifetime: 1h }',
    'certificates.webhook-lifetime is not a field of the configuration',
  ],
  [
    'certificates: { webhook-lifetime: 1s }',
    'certificates.webhook-lifetime is not a duration from 10s to 2160h',
  ],
  [
    'certificates: { authority-lifetime: 1440h }',
    'certificates.authority-lifetime is less than 2268h, one and a half times what a succession takes: twice authority-notice and the longer of webhook-lifetime and broker-lifetime',
  ],
  ['namespace: Not_One', 'namespace is not known'],
]

for (const [text, message] of mistakes) {
  test(`refused, naming the field: ${text}`, async (t) => {
    await t.throwsAsync(read(text), { code: 'ERR_CONFIG_INVALID', message })
  })
}

test('outside of a pod the namespace must be named', async (t) => {
  await t.throwsAsync(read('', [], ''), {
    code: 'ERR_CONFIG_INVALID',
    message: 'namespace is not text',
  })
})

test('without an image it must be known whose to take', async (t) => {
  const deps = { readText: async () => '', ownNamespace: async () => 'latchkey-system' }
  const message = 'neither pod nor sidecar.image is known'
  await t.throwsAsync(readWebhookCommand([], deps), { code: 'ERR_CONFIG_INVALID', message })
  t.is((await readWebhookCommand(['--image', 'x'], deps)).kind, 'serve')
})

test('help, version and wrong flags', async (t) => {
  const deps = { readText: async () => '', ownNamespace: async () => undefined }
  t.deepEqual(await readWebhookCommand(['--help'], deps), { kind: 'help' })
  t.deepEqual(await readWebhookCommand(['-V'], deps), { kind: 'version' })
  await t.throwsAsync(readWebhookCommand(['--verbose'], deps), { code: 'ERR_USAGE' })
  await t.throwsAsync(readWebhookCommand([], deps), { code: 'ERR_CONFIG_INVALID' })
})
