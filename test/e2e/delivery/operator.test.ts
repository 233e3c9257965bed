import test from 'ava'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openStream, type TestStream } from '../../support/broker-client.ts'
import { createAuthority } from '../support/authority.ts'
import { startControllerManager } from '../support/controller-manager.ts'
import {
  createShop,
  installDelivery,
  type RunningBroker,
  type Shop,
  startBroker,
  startSidecar,
} from '../support/delivery.ts'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { type Ran, runProgram } from '../support/run-program.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const rbac = 'rbac.authorization.k8s.io/v1'
const secrets = collection('v1', 'secrets', 'shop')
const whole = '- secret: db\n  path: /etc/db/\n'
const latchkey = join(import.meta.dirname, '..', '..', '..', 'cmd', 'latchkey.ts')

let cluster: EncryptedCluster
let shop: Shop
let brokers: readonly RunningBroker[]

test.before(async () => {
  cluster = await startEncryptedCluster(ground)
  const kubeconfig = await installDelivery(ground, cluster)
  await startControllerManager(ground, cluster.server, ['clusterrole-aggregation-controller'])
  shop = await createShop(cluster, 'shop', { aggregated: true })
  const key = join(ground.dir, 'version.key')
  await writeFile(key, Buffer.alloc(32, 7), { mode: 0o600 })
  const common = {
    kubeconfig,
    authority: await createAuthority('latchkey'),
    hosts: ['localhost'],
    flags: ['--version-key', `file:${key}`],
  }
  brokers = [
    await startBroker(ground, { name: 'broker-a', host: ground.host(10), ...common }),
    await startBroker(ground, { name: 'broker-b', host: ground.host(11), ...common }),
  ]
})

test.serial(
  'whoever administers a namespace may grant mount, as the real aggregation of ClusterRoles has it',
  async (t) => {
    interface Rule {
      readonly resources?: readonly string[]
      readonly verbs: readonly string[]
    }
    const mounts = async (role: string): Promise<boolean> => {
      const found = await cluster.server.admin.get(collection(rbac, 'clusterroles'), role)
      const rules = (found['rules'] as readonly Rule[] | null) ?? []
      return rules.some(
        ({ resources = [], verbs }) => resources.includes('secrets') && verbs.includes('mount'),
      )
    }
    await until('the aggregation', () => mounts('admin'), { timeoutMs: 60_000 })
    t.false(await mounts('edit'))
    t.false(await mounts('view'))
    await until('the owner', () => shop.grant('db').then(() => true), { timeoutMs: 20_000 })
    await shop.owner.create(secrets, { metadata: { name: 'db' }, stringData: { a: '0' } })

    await cluster.server.admin.create(collection(rbac, 'rolebindings', 'shop'), {
      metadata: { name: 'editor' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'edit' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'shop-editor' }],
    })
    const editor = await cluster.server.as({ name: 'shop-editor' })
    const rule = { apiGroups: [''], resources: ['secrets'], verbs: ['mount'] }
    await t.throwsAsync(
      editor.create(collection(rbac, 'roles', 'shop'), {
        metadata: { name: 'mine' },
        rules: [rule],
      }),
      { message: /403|forbidden/i },
    )
  },
)

/** `latchkey delivery status`, as somebody with that token. */
async function deliveryStatus(token: string, args: readonly string[] = []): Promise<Ran> {
  const file = join(ground.dir, 'operator.token')
  await writeFile(file, token, { mode: 0o600 })
  return await runProgram(ground, {
    command: process.execPath,
    args: [
      ...[latchkey, 'delivery', 'status', 'secret/db', '-n', 'shop'],
      ...brokers.flatMap(({ address }) => ['--broker', address]),
      ...['--ca', brokers[0]?.ca ?? '', '--token', file],
      ...['--kubeconfig', cluster.server.kubeconfig, ...args],
    ],
  })
}

test.serial('delivery status counts over both brokers against the pods that declare', async (t) => {
  const annotations = { 'latchkey.dev/secrets': whole }
  const names = Array.from({ length: 40 }, (_, i) => `web-${String(i).padStart(2, '0')}`)
  for (const name of names) await shop.pod(name, annotations)
  await shop.pod('undeclared')
  const [real, ...rest] = names
  const ca = readFileSync(brokers[0]?.ca ?? '', 'utf8')
  const streams = new Map<string, TestStream>()
  const open = async (name: string, index: number): Promise<void> => {
    const [host = '', port] = (brokers[index % 2]?.address ?? '').split(':')
    const token = await shop.token(name)
    streams.set(
      name,
      openStream(t, { host, port: Number(port), ca }, { token, references: ['db'] }),
    )
  }
  const sidecar = await startSidecar(ground, {
    name: real ?? '',
    broker: brokers[0] ?? t.fail('no broker'),
    token: await shop.token(real),
    secrets: whole,
  })
  // Three are behind: one is not connected, one does not answer, one cannot write.
  for (const [index, name] of rest.slice(0, -1).entries()) await open(name, index)
  const lacking = names.slice(-3)
  const shown = (): boolean => [...streams.values()].every((it) => it.shown() === 'db=READY a=0')
  await until('every stream', shown, { timeoutMs: 60_000 })
  await until('the sidecar', async () => (await sidecar.read('/etc/db/a')) === '0', {
    timeoutMs: 30_000,
  })
  for (const [name, stream] of streams) if (!lacking.includes(name)) stream.acknowledge()
  streams.get(lacking[1] ?? '')?.acknowledge('OUTCOME_DISK_FULL')

  const { admin } = cluster.server
  const accounts = collection('v1', 'serviceaccounts', 'shop')
  const accountToken = async (name: string): Promise<string> => {
    await admin.create(accounts, { metadata: { name } })
    const answer = await admin.create(`${accounts}/${name}/token`, {
      metadata: { name },
      spec: { audiences: ['latchkey'], expirationSeconds: 3_600 },
    })
    return (answer['status'] as { token: string }).token
  }
  await admin.create(collection(rbac, 'rolebindings', 'shop'), {
    metadata: { name: 'operator' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
    subjects: [{ kind: 'ServiceAccount', name: 'operator', namespace: 'shop' }],
  })
  const operator = await accountToken('operator')
  let ran: Ran | undefined
  await until(
    'thirty-seven',
    async () => {
      ran = await deliveryStatus(operator)
      return /\b37 of 40 pods have the newest content of secret\/db/.test(ran.stdout + ran.stderr)
    },
    { timeoutMs: 60_000, everyMs: 500 },
  )
  t.is(ran?.code, 1)
  const states = ran?.stdout ?? ''
  t.regex(states, new RegExp(`${lacking[0] ?? ''} +not written yet`))
  t.regex(states, new RegExp(`${lacking[1] ?? ''} +disk full`))
  t.regex(states, new RegExp(`${lacking[2] ?? ''} +not connected`))
  t.regex(states, new RegExp(`${real ?? ''} +current`))
  t.false(states.includes('undeclared'))

  const stranger = await deliveryStatus(await accountToken('stranger'))
  t.not(stranger.code, 0)
  t.regex(stranger.stderr, /pods/)
  const refusals = (await Promise.all(brokers.map((it) => it.audit()))).flat()
  t.true(refusals.some(({ event, why }) => event === 'status.refused' && why === 'ERR_FORBIDDEN'))

  await open(lacking[2] ?? '', 0)
  await until('the last one', shown, { timeoutMs: 30_000 })
  for (const name of lacking) streams.get(name)?.acknowledge()
  await until('all', async () => (await deliveryStatus(operator)).code === 0, {
    timeoutMs: 60_000,
    everyMs: 500,
  })
  const told = JSON.parse((await deliveryStatus(operator, ['-o', 'json'])).stdout) as {
    readonly current: number
    readonly replicas: readonly { readonly version: string }[]
  }
  t.is(told.current, 40)
  t.is(told.replicas.length, 2)
  t.is(told.replicas[0]?.version, told.replicas[1]?.version)

  await brokers[1]?.child.kill()
  const half = await deliveryStatus(operator)
  t.is(half.code, 1)
  t.regex(half.stderr, /did not answer/)
})
