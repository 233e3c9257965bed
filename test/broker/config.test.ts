import test from 'ava'
import { readBrokerCommand } from '../../src/broker/config.ts'
import { brokerFlags, brokerHelp } from '../../src/broker/flags.ts'
import { parseStaticFile } from '../../src/broker/static-file.ts'

const least = [
  '--listen',
  '127.0.0.1:8443',
  '--tls-cert',
  'c',
  '--tls-key',
  'k',
  '--source',
  'kubernetes',
]
const read = (args: readonly string[], file = ''): ReturnType<typeof readBrokerCommand> =>
  readBrokerCommand(args, { readText: async () => file })

test('the least that is needed is completed by defaults', async (t) => {
  t.deepEqual(await read(least), {
    kind: 'serve',
    config: {
      listen: { host: '127.0.0.1', port: 8443 },
      tlsCert: 'c',
      tlsKey: 'k',
      tlsCa: undefined,
      source: 'kubernetes',
      storeRoot: undefined,
      versionKey: undefined,
      auth: { kind: 'kubernetes', kubeconfig: undefined },
      kubeconfig: undefined,
      audience: 'latchkey',
      audit: undefined,
      auditKey: undefined,
      auditLimit: undefined,
      metrics: undefined,
      rules: { requireInjected: false, bindPodIp: 'off' },
      maxStreams: 20_000,
      logLevel: 'info',
    },
  })
})

test('settings that would do nothing are refused', async (t) => {
  const ofFile = [...least.slice(0, -1), 'file:/data']
  const onItsOwn = ['--auth', 'static:/permissions.yaml']
  for (const [args, idle] of [
    [least, ['--audit-key', 'file:/key']],
    [least, ['--store-root', 'file:/root']],
    [
      [...ofFile, ...onItsOwn],
      ['--audience', 'latchkey'],
    ],
    [
      [...ofFile, ...onItsOwn],
      ['--kubeconfig', '/admin.conf'],
    ],
  ] as const) {
    await t.notThrowsAsync(read(args))
    const error = await t.throwsAsync(read([...args, ...idle]), { code: 'ERR_CONFIG_INVALID' })
    t.true(error.message.startsWith(idle[0].slice(2)), error.message)
  }
  await t.notThrowsAsync(read([...least, '--audit', '/a', '--audit-key', 'file:/key']))
  await t.notThrowsAsync(read([...least, ...onItsOwn, '--kubeconfig', '/admin.conf']))
  await t.notThrowsAsync(read([...ofFile, '--store-root', 'file:/root', '--audience', 'x']))
})

test('a file has the same keys, and flags win over it', async (t) => {
  const file = [
    'listen: "[::1]:1"',
    'tls-cert: c',
    'tls-key: k',
    'source: file:/data',
    'require-injected: true',
    'bind-pod-ip: warn',
    'max-streams: 7',
  ].join('\n')
  const command = await read(['--config', 'x', '--bind-pod-ip', 'enforce'], file)
  t.like(command, {
    config: {
      listen: { host: '::1', port: 1 },
      source: 'file:/data',
      rules: { requireInjected: true, bindPodIp: 'enforce' },
      maxStreams: 7,
    },
  })
})

test('what is wrong is named', async (t) => {
  const usage: readonly (readonly string[])[] = [
    [],
    least.slice(2),
    [...least, 'stray'],
    [...least, '--nonsense'],
    [...least, '--audit'],
  ]
  for (const args of usage) await t.throwsAsync(read(args), { code: 'ERR_USAGE' })
  const invalid: readonly (readonly string[])[] = [
    ['--listen', 'nowhere'],
    ['--auth', 'ldap'],
    ['--bind-pod-ip', 'maybe'],
    ['--audience', 'two words'],
    ['--max-streams', '0'],
    ['--max-streams', '1e3'],
    ['--log-level', 'loud'],
    ['--version-key', '/no/scheme'],
    ['--audit-key', 'pem'],
    ['--audit-limit', '900Mi'],
    ['--audit', 'f', '--audit-limit', '1Mi'],
    ['--metrics', '1'],
    ['--auth', 'static:/f', '--require-injected'],
    ['--auth', 'static:/f', '--bind-pod-ip', 'warn'],
    ['--auth', 'static:/f', '--listen', '0.0.0.0:1'],
  ]
  for (const args of invalid) {
    await t.throwsAsync(read([...least, ...args]), { code: 'ERR_CONFIG_INVALID' }, args.join(' '))
  }
  for (const file of [
    'nonsense: 1',
    'listen: [1]',
    'require-injected: "yes"',
    '- 1',
    '{',
    'a: &x 1\nb: *x',
  ]) {
    await t.throwsAsync(
      read([...least, '--config', 'x'], file),
      { code: 'ERR_CONFIG_INVALID' },
      file,
    )
  }
})

test('help names every flag', async (t) => {
  t.deepEqual(await read(['--help']), { kind: 'help' })
  t.deepEqual(await read(['-V']), { kind: 'version' })
  for (const name of Object.keys(brokerFlags)) t.true(brokerHelp.includes(`  --${name}`), name)
})

const digest = 'ab'.repeat(32)

test('a static file is read whole, and what is missing is empty', (t) => {
  const file = `
accounts: [{ namespace: shop, name: web, mount: [db, "vault:x"] }]
pods: [{ namespace: shop, name: web-0, uid: u, account: web, tokenSha256: ${digest} }]
viewers: [{ name: me, tokenSha256: ${digest.replaceAll('a', 'c')}, namespaces: [shop] }]
`
  const { accounts, pods, viewers } = parseStaticFile(file)
  t.deepEqual([accounts.length, pods.length, viewers.length], [1, 1, 1])
  t.deepEqual(parseStaticFile(''), { accounts: [], pods: [], viewers: [] })
})

test('in a static file unknown fields, wrong names and doublets are refused by their place', (t) => {
  const pod = `namespace: shop, name: web-0, uid: u, account: web, tokenSha256: ${digest}`
  const account = 'accounts: [{ namespace: shop, name: web }]\n'
  const wrong: Readonly<Record<string, string>> = {
    'the file': 'users: []',
    'the file ': '[]',
    'accounts[0]': 'accounts: [{ namespace: shop, name: web, admin: true }]',
    'accounts[0].name': 'accounts: [{ namespace: shop, name: "../x" }]',
    'accounts[0].mount[0]': 'accounts: [{ namespace: shop, name: web, mount: [a/b] }]',
    accounts: 'accounts: [{ namespace: shop, name: web }, { namespace: shop, name: web }]',
    'accounts ': 'accounts: 1',
    'pods[0].account': `pods: [{ ${pod} }]`,
    'pods[0].tokenSha256': `${account}pods: [{ ${pod.replace(digest, 'abc')} }]`,
    'pods[0].uid': `${account}pods: [{ ${pod.replace('uid: u', 'uid: ""')} }]`,
    tokenSha256: `${account}pods: [{ ${pod} }, { ${pod} }]`,
    'viewers[0].namespaces[0]': `viewers: [{ name: a, tokenSha256: ${digest}, namespaces: [A] }]`,
  }
  for (const [place, text] of Object.entries(wrong)) {
    const error = t.throws(() => parseStaticFile(text), { code: 'ERR_CONFIG_INVALID' }, place)
    t.true(error.message.startsWith(`static file: ${place.trim()} `), error.message)
  }
  t.throws(() => parseStaticFile('{'), { code: 'ERR_CONFIG_INVALID' })
})
