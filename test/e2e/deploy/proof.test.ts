import test from 'ava'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fencedBlocks } from '../../support/markdown.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { createAuthority, writeIdentity } from '../support/authority.ts'
import { binary } from '../support/binaries.ts'
import { runLatchkey } from '../support/cli.ts'
import { createClusterIdentity } from '../support/cluster-identity.ts'
import { localProvider, writeEncryptionConfig } from '../support/encryption-config.ts'
import { type Etcd, startEtcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { documentsOf, type Fields, type Manifest } from '../support/manifests.ts'
import { type Ran, runOk, runProgram } from '../support/run-program.ts'

// deploy/proof and the guide to it: the CronJob's own command, with a certificate that may only read,
// against an etcd with users; and its pod, before a namespace that enforces `restricted`.

const ground = useGround(test)
const project = join(import.meta.dirname, '../../..')
const deploy = join(project, 'deploy/proof')
const secrets = collection('v1', 'secrets', 'default')

let etcd: Etcd
let server: ApiServer
let reader: Readonly<Record<'ca' | 'cert' | 'key', string>>
let manifests: readonly Manifest[]

test.before(async () => {
  const authority = await createAuthority('etcd')
  etcd = await startEtcd(ground, { authority })
  // The API server's user may everything, the guide's what the guide gives it.
  const guide = await readFile(join(project, 'deploy/guides/proof.md'), 'utf8')
  const grants = fencedBlocks(guide).find(({ text }) => text.includes('etcdctl role add'))?.text
  await etcdctl(
    'etcdctl user add root --no-password && etcdctl user grant-role root root',
    'etcdctl user add client --no-password && etcdctl user grant-role client root',
    grants ?? 'false',
    'etcdctl auth enable',
  )
  const encryptionConfig = join(ground.dir, 'encryption.yaml')
  await writeEncryptionConfig(encryptionConfig, [
    { resources: ['secrets'], providers: [localProvider('aescbc')] },
  ])
  const identityOfCluster = await createClusterIdentity(ground)
  server = await startApiServer(ground, { etcd, identity: identityOfCluster, encryptionConfig })
  const dir = join(ground.dir, 'reader')
  await mkdir(dir)
  const identity = await authority.issue({ commonName: 'latchkey-proof', use: ['client'] })
  reader = { ...(await writeIdentity(dir, 'reader', identity)), ca: etcd.clientFiles.ca }
  manifests = documentsOf(
    await runOk(ground, { command: await binary('kubectl'), args: ['kustomize', deploy] }),
  )
})

async function etcdctl(...lines: readonly string[]): Promise<string> {
  const { ca, cert, key } = etcd.clientFiles
  const env = {
    PATH: `${dirname(await binary('etcdctl'))}:/usr/bin:/bin`,
    ETCDCTL_ENDPOINTS: etcd.endpoints.join(','),
    ...{ ETCDCTL_CACERT: ca, ETCDCTL_CERT: cert, ETCDCTL_KEY: key },
  }
  return await runOk(ground, { command: 'bash', args: ['-euc', lines.join('\n')], env })
}

async function kubectl(args: readonly string[], stdin = ''): Promise<Ran> {
  const command = await binary('kubectl')
  return await runProgram(ground, {
    command,
    args: [...args, '--kubeconfig', server.kubeconfig],
    stdin,
  })
}

const find = (kind: string): Fields => manifests.find((each) => each.kind === kind) ?? {}

/** The template of the pods, and what their one container runs. */
function template(): { readonly metadata: Fields; readonly spec: Fields; readonly command: string[] } {
  const spec = find('CronJob')['spec'] as {
    jobTemplate: { spec: { template: { metadata: Fields; spec: Fields } } }
  }
  const pod = spec.jobTemplate.spec.template
  const [container] = pod.spec['containers'] as [{ command: string[] }]
  return { ...pod, command: container.command }
}

/** Runs what the container runs, with this site's etcd and files. */
async function scan(): Promise<Ran> {
  const [program, ...args] = template().command
  if (program !== 'latchkey') throw new Error(`it runs ${program ?? 'nothing'}`)
  const { data } = find('ConfigMap') as { data: { 'scan.yaml': string } }
  const file = join(ground.dir, 'scan.yaml')
  const text = data['scan.yaml']
    .replace('https://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379', etcd.endpoints.join(','))
    .replace('/run/etcd/ca.crt', reader.ca)
    .replace('/run/etcd/tls.crt', reader.cert)
    .replace('/run/etcd/tls.key', reader.key)
  await writeFile(file, text)
  return await runLatchkey(
    ground,
    args.map((each) => each.replace('/etc/latchkey/scan.yaml', file)),
  )
}

test.serial('it is content with what is encrypted, and finds plaintext', async (t) => {
  await server.admin.create(secrets, { metadata: { name: 'encrypted' } })
  const content = await scan()
  t.is(content.code, 0, content.stdout + content.stderr)
  t.regex(content.stdout, /^secrets +aescbc:/m)
  await etcdctl(`etcdctl put /registry/secrets/default/plain '{"kind":"Secret"}'`)
  const found = await scan()
  t.is(found.code, 4, found.stdout + found.stderr)
  t.regex(found.stdout, /^secrets +identity /m)
})

test.serial('its certificate reads what API servers store, and writes nothing', async (t) => {
  const { ca, cert, key } = reader
  const files = `--cacert ${ca} --cert ${cert} --key ${key}`
  await etcdctl(`env -u ETCDCTL_CERT -u ETCDCTL_KEY -u ETCDCTL_CACERT etcdctl ${files} get /registry/ --prefix --keys-only --limit 1`)
  for (const refused of ['put /registry/x y', 'del /registry/ --prefix', 'get /latchkey/keyring']) {
    const tried = etcdctl(`env -u ETCDCTL_CERT -u ETCDCTL_KEY -u ETCDCTL_CACERT etcdctl ${files} ${refused}`)
    await t.throwsAsync(tried, { message: /permission denied/ }, refused)
  }
})

test.serial('the API server takes it, and admits its pod under restricted', async (t) => {
  const namespace = await kubectl(['apply', '-f', join(deploy, 'namespace.yaml')])
  t.is(namespace.code, 0, namespace.stderr)
  const applied = await kubectl(['apply', '--server-side', '--validate=strict', '-k', deploy])
  t.is(applied.code, 0, applied.stderr)
  const { metadata, spec } = template()
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, name: 'proof', namespace: 'latchkey-proof' },
    spec,
  }
  const flags = ['create', '--dry-run=server', '--validate=strict', '-f', '-', '-o', 'json']
  const admitted = await kubectl(flags, JSON.stringify(pod))
  t.is(admitted.code, 0, admitted.stderr)
  t.notRegex(admitted.stderr, /would violate PodSecurity/)
  const made = JSON.parse(admitted.stdout) as { spec: { volumes: readonly Fields[] } }
  t.deepEqual(made.spec.volumes.map(({ name }) => name), ['settings', 'etcd'], 'no token')
  const wider = { ...pod, spec: { ...spec, hostNetwork: true } }
  const refused = await kubectl(flags, JSON.stringify(wider))
  t.regex(refused.stderr, /violates PodSecurity "restricted/)
})

test.serial('a job can be made of it, as the guide says', async (t) => {
  const guide = await readFile(join(project, 'deploy/guides/proof.md'), 'utf8')
  const line = /^kubectl (--namespace latchkey-proof create job .*)$/m.exec(guide)?.[1] ?? ''
  const made = await kubectl(line.split(' '))
  t.is(made.code, 0, made.stderr)
})
