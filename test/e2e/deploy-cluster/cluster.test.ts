import test from 'ava'
import { join } from 'node:path'
import { objectOf, type JsonObject } from '../../../src/injection/pod/json.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { binary } from '../support/binaries.ts'
import { createClusterIdentity } from '../support/cluster-identity.ts'
import { startEtcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { type Ran, runOk, runProgram } from '../support/run-program.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const root = join(import.meta.dirname, '../../..')
const deploy = join(root, 'deploy/cluster')
const broker = 'system:serviceaccount:latchkey-system:latchkey-broker'
const webhook = 'system:serviceaccount:latchkey-system:latchkey-webhook'

let server: ApiServer
let kubectl: string

test.before(async () => {
  const etcd = await startEtcd(ground)
  server = await startApiServer(ground, { etcd, identity: await createClusterIdentity(ground) })
  kubectl = await binary('kubectl')
  await server.admin.create(collection('v1', 'namespaces'), { metadata: { name: 'shop' } })
})

const ask = (...args: readonly string[]): Promise<string> =>
  runOk(ground, { command: kubectl, args: ['--kubeconfig', server.kubeconfig, ...args] })

const may = async (who: string, ...what: readonly string[]): Promise<boolean> => {
  const args = ['--kubeconfig', server.kubeconfig, 'auth', 'can-i', ...what, '--as', who]
  return (await runProgram(ground, { command: kubectl, args })).stdout.trim() === 'yes'
}

/** The API server's authorizer hears of bindings a moment after they are written. */
const comesToBe = async (answer: boolean, ...question: Parameters<typeof may>): Promise<void> => {
  const said = async (): Promise<boolean> => (await may(...question)) === answer
  await until(`${question.join(' ')}: ${answer}`, said, { timeoutMs: 20_000 })
}

const latchkey = (...args: readonly string[]): Promise<Ran> =>
  runProgram(ground, {
    command: process.execPath,
    args: [join(root, 'cmd/latchkey.ts'), ...args, '--kubeconfig', server.kubeconfig],
  })

test.serial('kubectl apply -k installs everything, and again changes nothing', async (t) => {
  const apply = ['apply', '-k', deploy, '--validate=strict']
  const first = await ask(...apply)
  t.regex(first, /deployment\.apps\/latchkey-broker created/)
  t.regex(first, /deployment\.apps\/latchkey-webhook created/)
  const secrets = collection('v1', 'secrets', 'latchkey-system')
  const data = { 'ca.crt': Buffer.from('kept').toString('base64') }
  await server.admin.patch(secrets, 'latchkey-authority', { data })
  t.false((await ask(...apply)).includes('created'))
  // kubectl calls a Deployment with two spread constraints configured even where nothing differs.
  for (const name of ['latchkey-broker', 'latchkey-webhook']) {
    const deployments = collection('apps/v1', 'deployments', 'latchkey-system')
    const { metadata } = await server.admin.get(deployments, name)
    t.like(metadata, { generation: 1 })
  }
  t.deepEqual((await server.admin.get(secrets, 'latchkey-authority'))['data'], data)
})

test.serial('server-side apply takes it too', async (t) => {
  await ask('apply', '-k', deploy, '--server-side', '--force-conflicts', '--validate=strict')
  t.pass()
})

test.serial('broker and webhook fit into a restricted namespace', async (t) => {
  for (const name of ['latchkey-broker', 'latchkey-webhook']) {
    const deployment = await server.admin.get(
      collection('apps/v1', 'deployments', 'latchkey-system'),
      name,
    )
    const template = objectOf(objectOf(deployment['spec'] as JsonObject)['template'])
    const spec = { ...objectOf(template['spec']), priorityClassName: undefined }
    const pod = { metadata: { name }, spec }
    const pods = collection('v1', 'pods', 'latchkey-system')
    await server.admin.create(`${pods}?dryRun=All`, pod)
  }
  t.pass()
})

test.serial('nobody has more rights than the work needs', async (t) => {
  for (const who of [broker, webhook]) {
    t.false(await may(who, 'get', 'secrets', '--namespace', 'shop'))
    t.false(await may(who, 'create', 'secrets', '--namespace', 'latchkey-system'))
    t.false(await may(who, 'create', 'pods', '--namespace', 'shop'))
    t.false(await may(who, 'mount', 'secrets/db', '--namespace', 'shop'))
    t.false(await may(who, 'create', 'serviceaccounts/token', '--namespace', 'latchkey-system'))
  }
  t.false(await may(broker, 'get', 'secrets/latchkey-authority', '--namespace', 'latchkey-system'))
  await comesToBe(true, broker, 'create', 'subjectaccessreviews.authorization.k8s.io')
  const configurations = 'mutatingwebhookconfigurations.admissionregistration.k8s.io'
  await comesToBe(true, webhook, 'patch', `${configurations}/injector.latchkey.dev`)
  t.false(await may(webhook, 'patch', `${configurations}/other`))
  await comesToBe(true, webhook, 'update', 'secrets/latchkey-authority', '-n', 'latchkey-system')
})

test.serial(
  'a namespace that is enrolled is one that the broker reads, and no other',
  async (t) => {
    t.is((await latchkey('enroll', 'shop')).code, 0)
    await comesToBe(true, broker, 'watch', 'secrets', '--namespace', 'shop')
    t.true(await may(broker, 'create', 'events', '--namespace', 'shop'))
    t.false(await may(broker, 'get', 'secrets', '--namespace', 'default'))
    t.regex((await latchkey('enroll', 'shop')).stderr, /is enrolled already/)
    t.like(await latchkey('enroll', 'nowhere'), { code: 2 })
    t.is((await latchkey('enroll', 'shop', '--remove')).code, 0)
    await comesToBe(false, broker, 'get', 'secrets', '--namespace', 'shop')
    t.is((await latchkey('enroll', 'shop', '--remove')).code, 0)
  },
)

test.serial('the image is changed in one place', async (t) => {
  const manifest = await runOk(ground, { command: kubectl, args: ['kustomize', deploy] })
  const images = [...manifest.matchAll(/^\s+image: (.*)$/gm)].map(([, image]) => image)
  t.deepEqual(images, ['latchkey', 'latchkey'])
})

test.serial('what latchkey explain says is to be granted makes it allowed', async (t) => {
  const list = '- { secret: db, key: password, path: /etc/app/db/password }'
  const manifest = JSON.stringify({
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'shop', annotations: { 'latchkey.dev/secrets': list } },
    spec: { serviceAccountName: 'web', containers: [{ name: 'app' }] },
  })
  const explain = (...flags: readonly string[]): Promise<Ran> =>
    runProgram(ground, {
      command: process.execPath,
      args: [
        ...[join(root, 'cmd/latchkey.ts'), 'explain', 'pod', '-f', '-', ...flags],
        ...['--kubeconfig', server.kubeconfig],
      ],
      stdin: manifest,
    })
  t.is((await explain()).code, 1)
  const { stdout: grants } = await explain('--grants')
  await runOk(ground, {
    command: kubectl,
    args: ['--kubeconfig', server.kubeconfig, 'apply', '-f', '-'],
    stdin: grants,
  })
  await comesToBe(true, 'system:serviceaccount:shop:web', 'mount', 'secrets/db', '-n', 'shop')
  const after = await explain()
  t.is(after.code, 0, after.stderr)
  t.regex(after.stdout, /\/etc\/app\/db\/password .* yes$/m)
  t.false(await may('system:serviceaccount:shop:web', 'mount', 'secrets/other', '-n', 'shop'))
})
