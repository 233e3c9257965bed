import test from 'ava'
import * as fs from 'node:fs/promises'
import { parseKubeconfig } from '../../src/clients/kubeconfig.ts'
import { inClusterAccess } from '../../src/clients/kubernetes-access.ts'
import { temporaryDirectory } from '../support/secret-store.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')

function config(changes: { readonly cluster?: object; readonly user?: object } = {}): string {
  return JSON.stringify({
    'current-context': 'one',
    contexts: [
      { name: 'two', context: { cluster: 'x', user: 'x' } },
      { name: 'one', context: { cluster: 'c', user: 'u', namespace: 'shop' } },
    ],
    clusters: [{ name: 'c', cluster: changes.cluster ?? { server: 'https://api.example:6443' } }],
    users: [{ name: 'u', user: changes.user ?? { token: 't' } }],
  })
}

test('inline material of the current context is decoded', async (t) => {
  const access = parseKubeconfig(
    config({
      cluster: {
        server: 'https://api.example:6443',
        'certificate-authority-data': base64('CA'),
        'tls-server-name': 'kubernetes',
      },
      user: { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') },
    }),
    '/x/config',
  )
  t.is(access.server.href, 'https://api.example:6443/')
  t.is(access.serverName, 'kubernetes')
  t.deepEqual(await access.credentials(), { ca: 'CA', cert: 'CERT', key: 'KEY', token: undefined })
})

test('files are found beside the kubeconfig, and read again each time', async (t) => {
  const directory = await temporaryDirectory(t)
  await fs.writeFile(`${directory}/ca.crt`, 'CA')
  await fs.writeFile(`${directory}/token`, 'one\n')
  const access = parseKubeconfig(
    config({
      cluster: { server: 'https://a', 'certificate-authority': 'ca.crt' },
      user: { tokenFile: `${directory}/token` },
    }),
    `${directory}/config`,
  )
  t.deepEqual(await access.credentials(), {
    ca: 'CA',
    cert: undefined,
    key: undefined,
    token: 'one',
  })
  await fs.writeFile(`${directory}/token`, 'two')
  t.is((await access.credentials()).token, 'two')
  await fs.rm(`${directory}/token`)
  const error = await t.throwsAsync(access.credentials(), { code: 'ERR_KUBERNETES_CONFIG' })
  t.regex(error.message, /token cannot be read: ENOENT$/)
})

test('what would weaken or hang a server is refused by its name', (t) => {
  for (const [part, name, value] of [
    ['cluster', 'insecure-skip-tls-verify', true],
    ['cluster', 'proxy-url', 'http://p'],
    ['user', 'exec', { command: 'aws' }],
    ['user', 'auth-provider', { name: 'gcp' }],
    ['user', 'password', 'hunter2'],
    ['user', 'as', 'root'],
  ] as const) {
    const fields = { ...(part === 'cluster' ? { server: 'https://a' } : {}), [name]: value }
    const error = t.throws(() => parseKubeconfig(config({ [part]: fields }), '/x'), {
      code: 'ERR_KUBERNETES_CONFIG',
    })
    t.true(error.message.startsWith(name))
    t.false(error.message.includes('hunter2'))
  }
})

test('plain http is for loopback only', (t) => {
  const cluster = { server: 'http://127.0.0.1:8001' }
  t.is(parseKubeconfig(config({ cluster }), '/x').server.port, '8001')
  for (const server of ['http://api.example', 'ftp://127.0.0.1', 'api.example']) {
    t.throws(() => parseKubeconfig(config({ cluster: { server } }), '/x'), {
      code: 'ERR_KUBERNETES_CONFIG',
    })
  }
})

test('a file that is no kubeconfig, or whose context is missing, is refused', (t) => {
  const whole = JSON.parse(config()) as Record<string, unknown>
  const texts = [
    '',
    '[]',
    '{',
    '{}',
    JSON.stringify({ ...whole, 'current-context': 'three' }),
    JSON.stringify({ ...whole, clusters: [] }),
    JSON.stringify({ ...whole, users: 'x' }),
  ]
  for (const text of texts) {
    t.throws(() => parseKubeconfig(text, '/x'), { code: 'ERR_KUBERNETES_CONFIG' }, text)
  }
})

test('in a pod, address, authority and token are where the kubelet puts them', async (t) => {
  const directory = await temporaryDirectory(t)
  await fs.writeFile(`${directory}/ca.crt`, 'CA')
  await fs.writeFile(`${directory}/token`, 'tok')
  const access = inClusterAccess({ host: 'fd00::1', port: '443', directory })
  t.is(access.server.host, '[fd00::1]')
  t.deepEqual(await access.credentials(), {
    ca: 'CA',
    cert: undefined,
    key: undefined,
    token: 'tok',
  })
  for (const [host, port] of [
    [undefined, '443'],
    ['10.0.0.1', undefined],
    ['10.0.0.1', 'x'],
  ]) {
    t.throws(() => inClusterAccess({ host, port, directory }), { code: 'ERR_KUBERNETES_CONFIG' })
  }
})
