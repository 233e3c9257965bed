import test, { type ExecutionContext } from 'ava'
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createAuthority } from '../e2e/support/authority.ts'
import { startBroker } from '../support/broker.ts'
import { FakeCluster } from '../support/fake-cluster.ts'
import { startFakeKubernetes, type FakeKubernetes } from '../support/fake-kubernetes.ts'
import { forwardTo, servePortForwards } from '../support/fake-port-forward.ts'
import { temporaryDirectory } from '../support/secret-store.ts'

// latchkey delivery status as a process, with a kubeconfig as tools of managed clusters write them.

const program = join(import.meta.dirname, '../../cmd/latchkey.ts')
const system = 'latchkey-system'

interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

async function run(t: ExecutionContext, ...args: readonly string[]): Promise<Ran> {
  const { KUBECONFIG: _, ...env } = process.env
  const child = spawn(process.execPath, [program, 'delivery', 'status', ...args], {
    env: { ...env, HOME: await temporaryDirectory(t) },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 50_000,
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { code: await ended, stdout, stderr }
}

/** A kubeconfig whose user logs in by a plugin. */
async function kubeconfig(t: ExecutionContext, { url }: FakeKubernetes): Promise<string> {
  const apiVersion = 'client.authentication.k8s.io/v1'
  const printed = { apiVersion, kind: 'ExecCredential', status: { token: 'from-the-plugin' } }
  const script = `console.log(${JSON.stringify(JSON.stringify(printed))})`
  const exec = { apiVersion, command: process.execPath, args: ['--eval', script] }
  const file = join(await temporaryDirectory(t), 'config')
  const config = {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u', namespace: 'shop' } }],
    clusters: [{ name: 'c', cluster: { server: url } }],
    users: [{ name: 'u', user: { exec: { ...exec, interactiveMode: 'Never' } } }],
  }
  await writeFile(file, JSON.stringify(config), { mode: 0o600 })
  return file
}

test('a kubeconfig and an account are enough', async (t) => {
  const kubernetes = await startFakeKubernetes(t)
  const cluster = new FakeCluster(kubernetes)
  const authority = await createAuthority('latchkey')
  const broker = await startBroker(t, {
    kubernetes,
    authority,
    hosts: [`latchkey-broker.${system}.svc`],
  })
  kubernetes.put(`/api/v1/namespaces/${system}/pods`, {
    metadata: {
      name: 'broker-0',
      labels: { 'app.kubernetes.io/name': 'latchkey', 'app.kubernetes.io/component': 'broker' },
    },
    status: { phase: 'Running' },
  })
  kubernetes.put('/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations', {
    metadata: { name: 'injector.latchkey.dev' },
    webhooks: [{ clientConfig: { caBundle: Buffer.from(authority.cert).toString('base64') } }],
  })
  kubernetes.issueToken = ({ namespace, name }) =>
    cluster.token({ namespace, name: '', uid: '', account: name }, { bound: false, user: 'admin' })
  servePortForwards(
    kubernetes,
    forwardTo(() => broker),
  )
  const file = await kubeconfig(t, kubernetes)
  const ran = await run(t, 'secret/db', '--account', 'viewer', '--kubeconfig', file, '-o', 'json')
  t.is(ran.code, 0, ran.stderr)
  t.is(ran.stderr, '0 of 0 pods have the newest content of secret/db\n')
  t.like(JSON.parse(ran.stdout), {
    namespace: 'shop',
    replicas: [{ replica: 'replica-1' }],
    unanswered: [],
  })
  const [asked] = kubernetes.asked('GET', '/portforward')
  t.is(asked?.authorization, 'Bearer from-the-plugin')
  t.is(kubernetes.asked('POST', '/serviceaccounts/viewer/token').length, 1)
})

test('what is missing, or too much, is said', async (t) => {
  const kubernetes = await startFakeKubernetes(t)
  const file = await kubeconfig(t, kubernetes)
  const wrong = [
    [2, ['db', '--account', 'a', '--kubeconfig', file], /secret\/NAME/],
    [2, ['secret/db', '--kubeconfig', file], /neither --account nor --token/],
    [2, ['secret/db', '--token', file, '--account', 'a', '--kubeconfig', file], /not both/],
    [2, ['secret/db', '--account', 'a/b/c', '--kubeconfig', file], /NAMESPACE\/NAME/],
    [2, ['secret/db', '--token', '/nonexistent', '--kubeconfig', file], /--token .*ENOENT/],
    [1, ['secret/db', '--account', 'a'], /no kubeconfig was found/],
    [1, ['secret/db', '--account', 'a', '--kubeconfig', file], /no service account shop\/a/],
  ] as const
  const ran = await Promise.all(wrong.map(([, args]) => run(t, ...args)))
  for (const [index, [code, , message]] of wrong.entries()) {
    t.is(ran[index]?.code, code, message.source)
    t.regex(ran[index]?.stderr ?? '', message)
    t.is(ran[index]?.stdout, '')
  }
})
