import test from 'ava'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { sections } from '../../support/markdown.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { createClusterIdentity } from '../support/cluster-identity.ts'
import { startEtcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { connectKms } from '../support/kms-client.ts'
import { type KubernetesObject, collection } from '../support/kubernetes.ts'
import { buildRelease } from '../support/release.ts'
import { startSystemdMachine } from '../support/systemd-machine.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const deploy = join(import.meta.dirname, '../../../deploy')
const guide = readFileSync(join(deploy, 'README.md'), 'utf8')
const text = readFileSync(join(deploy, 'static-pod', 'latchkey-kms.yaml'), 'utf8')
const pod = parse(text) as Pod
const [container] = pod.spec.containers
const pods = `${collection('v1', 'pods', 'kube-system')}?dryRun=All&fieldValidation=Strict`

interface Pod extends KubernetesObject {
  readonly spec: {
    readonly securityContext: { readonly runAsUser: number; readonly runAsGroup: number }
    readonly containers: readonly [
      {
        readonly command: readonly string[]
        readonly args: readonly string[]
        readonly env: readonly { name: string; value: string }[]
      },
    ]
    readonly [field: string]: unknown
  }
}

let server: ApiServer

test.before(async () => {
  const [etcd, identity] = await Promise.all([startEtcd(ground), createClusterIdentity(ground)])
  server = await startApiServer(ground, { etcd, identity })
  // The controller manager would have made it; pods are refused without, static ones are not asked.
  await server.admin.create(collection('v1', 'serviceaccounts', 'kube-system'), {
    metadata: { name: 'default' },
  })
})

test.serial('a real API server takes the manifest, every field of it', async (t) => {
  const created = await server.admin.create(pods, pod)
  t.like(created['spec'], {
    priority: 2_000_001_000,
    priorityClassName: 'system-node-critical',
    hostNetwork: true,
    automountServiceAccountToken: false,
  })
  const wrong = parse(text.replace('hostNetwork', 'hostNetwrk')) as Pod
  const error = await t.throwsAsync(server.admin.create(pods, wrong))
  t.regex(error.message, /unknown field "spec\.hostNetwrk"/)
})

test.serial('a node may show it as the mirror of a static pod: it refers to no object', async (t) => {
  const node = await server.as({ name: 'system:node:control-plane', group: 'system:nodes' })
  await server.admin.create(collection('v1', 'nodes'), { metadata: { name: 'control-plane' } })
  const { metadata } = await server.admin.get(collection('v1', 'nodes'), 'control-plane')
  const mirror = {
    ...pod,
    metadata: {
      ...pod.metadata,
      annotations: { 'kubernetes.io/config.mirror': 'digest' },
      ownerReferences: [
        { apiVersion: 'v1', kind: 'Node', name: 'control-plane', uid: metadata.uid, controller: true },
      ],
    },
    spec: { ...pod.spec, nodeName: 'control-plane' },
  }
  // Admission knows nodes by a watch of its own.
  await until('the mirror to be taken', async () => (await node.create(pods, mirror)).metadata, {
    timeoutMs: 20_000,
  })
  const withToken = { ...mirror, spec: { ...mirror.spec, serviceAccountName: 'default' } }
  await t.throwsAsync(node.create(pods, withToken), { message: /service account/ })
})

test.serial('its command serves as its user, from directories that the guide makes', async (t) => {
  const machine = await startSystemdMachine(ground, { tarball: await buildRelease(ground) })
  await machine.run('tar -xzf latchkey-0.1.0.tar.gz && cp -r latchkey-0.1.0 /opt/latchkey')
  const section = sections(guide).find(({ heading }) => heading === '1b. As a static pod')
  const [prepare] = (section?.blocks ?? []).filter(({ words }) => words[0] === 'pod-machine')
  await machine.run(prepare?.text ?? 'false')

  const { runAsUser: uid, runAsGroup: gid } = pod.spec.securityContext
  const as = `setpriv --reuid=${uid} --regid=${gid} --clear-groups --bounding-set=-all --no-new-privs`
  const env = container.env.map(({ name, value }) => `${name}=${value}`).join(' ')
  const argv = [...container.command, ...container.args].join(' ')
  await machine.run(
    `PATH=/opt/latchkey/bin:$PATH setsid ${as} env ${env} ${argv} </dev/null >/run/pod.log 2>&1 &`,
  )
  const log = async (): Promise<string> => await readFile(machine.path('/run/pod.log'), 'utf8')
  await until('the pod to miss its keyring', async () => (await log()).includes('kms.listening'), {
    timeoutMs: 15_000,
  })
  const health = async (path: string): Promise<string> =>
    await machine.run(`curl --silent http://127.0.0.1:9464/${path}`)
  t.is(await health('livez'), 'ok\n')
  t.regex(await health('readyz'), /no keyring is loaded/)

  const init = /latchkey keys init [^\n]*/.exec(guide.slice(guide.indexOf('crictl exec')))?.[0]
  const id = await machine.run(`PATH=/opt/latchkey/bin:$PATH ${as} ${init ?? 'false'}`)
  await until('the keyring to be picked up', async () => (await health('readyz')) === 'ok\n', {
    timeoutMs: 40_000,
  })
  t.is(await machine.run('stat --format "%a %u" /run/latchkey/kms.sock'), `600 ${uid}\n`)
  // As root, which is what the API server is.
  const client = await connectKms(machine.path('/run/latchkey/kms.sock'))
  t.teardown(() => {
    client.close()
  })
  t.is((await client.status()).keyId, id.trim())
})
