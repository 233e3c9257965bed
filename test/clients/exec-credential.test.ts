import test from 'ava'
import { LatchkeyError } from '../../src/base/errors.ts'
import type { ExecCommand, RunExec } from '../../src/clients/exec-credential.ts'
import { parseKubeconfig } from '../../src/clients/kubeconfig.ts'
import type { ClusterAccess } from '../../src/clients/kubernetes-access.ts'

const apiVersion = 'client.authentication.k8s.io/v1'
const start = Date.parse('2026-01-01T00:00:00Z')
const aws = {
  apiVersion,
  command: 'aws',
  args: ['eks', 'get-token'],
  interactiveMode: 'IfAvailable',
}

interface Opened {
  readonly access: ClusterAccess
  readonly runs: { readonly command: ExecCommand; readonly info: unknown }[]
  now: number
  /** What the plugin prints, or fails with. */
  prints: unknown
}

function open(
  exec: object,
  changes: { readonly cluster?: object; readonly user?: object } = {},
): Opened {
  const runs: Opened['runs'] = []
  const run: RunExec = async (command, env) => {
    const info: unknown = JSON.parse(env(false)['KUBERNETES_EXEC_INFO'] ?? '')
    runs.push({ command, info })
    const { prints } = opened
    if (prints instanceof Error) throw prints
    return Buffer.from(typeof prints === 'string' ? prints : JSON.stringify(prints))
  }
  const text = JSON.stringify({
    'current-context': 'one',
    contexts: [{ name: 'one', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://api.example', ...changes.cluster } }],
    users: [{ name: 'u', user: { exec, ...changes.user } }],
  })
  const opened: Opened = {
    access: parseKubeconfig(text, '/home/x/.kube/config', { run, now: () => opened.now }),
    runs,
    now: start,
    prints: { apiVersion, kind: 'ExecCredential', status: { token: 'first' } },
  }
  return opened
}

test('a token is asked for once, until it is about to end or was refused', async (t) => {
  const opened = open(aws)
  const { access, runs } = opened
  const print = (token: string): void => {
    const status = { token, expirationTimestamp: new Date(opened.now + 900_000).toISOString() }
    opened.prints = { apiVersion, kind: 'ExecCredential', status }
  }
  print('first')
  t.is((await access.credentials()).token, 'first')
  print('second')
  opened.now += 839_999
  t.is((await access.credentials()).token, 'first')
  opened.now += 1
  t.is((await access.credentials()).token, 'second')
  print('third')
  t.is((await access.credentials(true)).token, 'third')
  t.is((await access.credentials()).token, 'third')
  t.is(runs.length, 3)
  t.deepEqual(runs[0], {
    command: { command: 'aws', args: ['eks', 'get-token'], env: {}, terminal: 'IfAvailable' },
    info: { apiVersion, kind: 'ExecCredential', spec: { interactive: false } },
  })
})

test('one that does not end is kept', async (t) => {
  const { access, runs } = open(aws)
  t.is((await access.credentials()).token, 'first')
  t.is((await access.credentials()).token, 'first')
  t.is(runs.length, 1)
})

test('a client certificate may come in place of a token', async (t) => {
  const opened = open(aws)
  const status = { clientCertificateData: 'CERT', clientKeyData: 'KEY' }
  opened.prints = { apiVersion, kind: 'ExecCredential', status }
  t.deepEqual(await opened.access.credentials(), {
    ca: undefined,
    cert: 'CERT',
    key: 'KEY',
    token: undefined,
  })
})

test('a plugin learns of the cluster if it is to, is found beside the kubeconfig, and has its environment', async (t) => {
  const cluster = {
    'certificate-authority-data': Buffer.from('CA').toString('base64'),
    'tls-server-name': 'kubernetes',
    extensions: [{ name: 'client.authentication.k8s.io/exec', extension: { audience: 'a' } }],
  }
  const exec = {
    apiVersion,
    command: './bin/login',
    env: [{ name: 'PROFILE', value: 'ops' }],
    interactiveMode: 'Never',
    provideClusterInfo: true,
  }
  const { access, runs } = open(exec, { cluster })
  await access.credentials()
  t.deepEqual(runs[0], {
    command: {
      command: '/home/x/.kube/bin/login',
      args: [],
      env: { PROFILE: 'ops' },
      terminal: 'Never',
    },
    info: {
      apiVersion,
      kind: 'ExecCredential',
      spec: {
        interactive: false,
        cluster: {
          server: 'https://api.example',
          'tls-server-name': 'kubernetes',
          'certificate-authority-data': Buffer.from('CA').toString('base64'),
          config: { audience: 'a' },
        },
      },
    },
  })
})

test('what is given in the kubeconfig itself comes first', async (t) => {
  const { access, runs } = open(aws, { user: { token: 'given' } })
  t.is((await access.credentials()).token, 'given')
  t.is(runs.length, 0)
})

test('descriptions that are none are refused', (t) => {
  for (const exec of [
    { ...aws, apiVersion: 'client.authentication.k8s.io/v1alpha1' },
    { ...aws, apiVersion: undefined },
    { ...aws, command: '' },
    { ...aws, interactiveMode: 'Sometimes' },
  ]) {
    t.throws(() => open(exec), { code: 'ERR_KUBERNETES_CONFIG' })
  }
})

test('output that is none is refused, and not repeated', async (t) => {
  const opened = open(aws)
  for (const prints of [
    '',
    'hunter2',
    '{"token":"hunter2"}',
    { apiVersion, kind: 'ExecCredential' },
    { apiVersion, kind: 'ExecCredential', status: { token: '' } },
    { apiVersion, kind: 'ExecCredential', status: { token: 7 } },
    { apiVersion, kind: 'ExecCredential', status: { clientKeyData: 'hunter2' } },
    { apiVersion, kind: 'Status', status: { token: 'hunter2' } },
    { apiVersion: `${apiVersion}beta1`, kind: 'ExecCredential', status: { token: 'hunter2' } },
  ]) {
    opened.prints = prints
    const error = await t.throwsAsync(opened.access.credentials(), {
      code: 'ERR_KUBERNETES_CONFIG',
    })
    t.false(`${error.message}${String(error.cause)}`.includes('hunter2'))
  }
})

test('a plugin that fails says how to get it, where the kubeconfig does', async (t) => {
  const plain = open(aws)
  plain.prints = new LatchkeyError('ERR_KUBERNETES_CONFIG', 'aws cannot be run (ENOENT)')
  t.like(await t.throwsAsync(plain.access.credentials()), {
    message: "the kubeconfig's credential plugin aws cannot be run (ENOENT)",
    hint: 'try it with: kubectl auth whoami',
  })
  const hinted = open({ ...aws, installHint: 'Install it:\n\u001b[1m aws.example' })
  hinted.prints = plain.prints
  t.like(await t.throwsAsync(hinted.access.credentials()), { hint: 'Install it: [1m aws.example' })
})
