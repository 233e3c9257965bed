import test from 'ava'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { binary } from '../support/binaries.ts'
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
import { type Ran, runOk, runProgram } from '../support/run-program.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const rbac = 'rbac.authorization.k8s.io/v1'
const program = join(import.meta.dirname, '../../../cmd/latchkey.ts')
const soon = { timeoutMs: 30_000, everyMs: 50 }

let cluster: EncryptedCluster
let kubeconfig: string
let shop: Shop
let broker: RunningBroker
let apiLog: string
let kubectl: string

test.before(async () => {
  const policy = join(ground.dir, 'audit-policy.yaml')
  apiLog = join(ground.dir, 'audit.log')
  await writeFile(
    policy,
    `apiVersion: audit.k8s.io/v1
kind: Policy
rules:
  - level: RequestResponse
    resources: [{ group: authorization.k8s.io, resources: [subjectaccessreviews] }]
  - level: Metadata
`,
  )
  const flags = [`--audit-policy-file=${policy}`, `--audit-log-path=${apiLog}`]
  cluster = await startEncryptedCluster(ground, { flags })
  kubectl = await binary('kubectl')
  kubeconfig = await installDelivery(ground, cluster)
  shop = await createShop(cluster, 'shop')
  broker = await startBroker(ground, { name: 'broker', host: ground.host(10), kubeconfig })
  const secrets = collection('v1', 'secrets', 'shop')
  for (const name of ['db', 'tls', 'payroll']) {
    await shop.owner.create(secrets, { metadata: { name }, stringData: { key: `of ${name}` } })
  }
  await shop.grant('db')
  await shop.grant('tls')
})

const suggest = (...args: readonly string[]): Promise<Ran> =>
  runProgram(ground, {
    command: process.execPath,
    args: [program, 'rbac', 'suggest', ...args],
  })

const may = async (who: string, ...what: readonly string[]): Promise<boolean> => {
  const args = ['--kubeconfig', cluster.server.kubeconfig, 'auth', 'can-i', ...what, '--as', who]
  return (await runProgram(ground, { command: kubectl, args })).stdout.trim() === 'yes'
}

const web = 'system:serviceaccount:shop:web'
const ourBroker = 'system:serviceaccount:latchkey-system:latchkey-broker'
const list = `- { secret: db, path: /etc/db/ }
- { secret: payroll, path: /etc/payroll/ }
`

/** A pod with a sidecar has what `db` holds. */
async function delivered(name: string, from: RunningBroker): Promise<void> {
  await shop.pod(name)
  const sidecar = await startSidecar(ground, {
    name,
    broker: from,
    token: await shop.token(name),
    secrets: list,
  })
  await until(
    `${name} to have its file`,
    async () => (await sidecar.read('/etc/db/key')) === 'of db',
    soon,
  )
}

test.serial('both logs tell the same of what was mounted', async (t) => {
  await delivered('first', broker)
  const audit = join(ground.dir, 'broker', 'audit.jsonl')
  await until(
    'the denial to be decided',
    async () => (await broker.audit()).some(({ event }) => event === 'secret.denied'),
    soon,
  )
  const mounts = async (...args: readonly string[]): Promise<unknown> => {
    const { acts } = JSON.parse((await suggest(...args, '-o', 'json')).stdout) as {
      acts: { verb: string; name: string; account: object; standing: string }[]
    }
    return acts
      .filter(({ verb }) => verb === 'mount')
      .map(({ account, name, standing }) => ({ account, name, standing }))
  }
  const account = { namespace: 'shop', name: 'web' }
  const expected = [
    { account, name: 'db', standing: 'used' },
    { account, name: 'payroll', standing: 'denied' },
  ]
  t.deepEqual(await mounts('--audit', audit), expected)
  await until(
    'the log of the API server',
    async () => JSON.stringify(await mounts('--api-audit', apiLog)) === JSON.stringify(expected),
    soon,
  )
})

test.serial('grants that nobody used are named, with the time the log covers', async (t) => {
  const audit = join(ground.dir, 'broker', 'audit.jsonl')
  const { stdout } = await suggest('--audit', audit, '--kubeconfig', cluster.server.kubeconfig)
  t.regex(
    stdout,
    /^# unused \(RoleBinding shop\/mount-tls, Role mount-tls: ServiceAccount shop\/web may mount secrets\/tls\), from 20/m,
  )
  t.notRegex(stdout, /^# .*secrets\/db/m)
})

test.serial('what is suggested is all that the same work needs, and no more', async (t) => {
  const admin = cluster.server.admin
  await broker.child.stop(10_000)
  const { stdout } = await suggest('--api-audit', apiLog)
  // Everything that was granted goes, so that the suggestion alone is left.
  for (const name of ['mount-db', 'mount-tls', 'broker']) {
    await admin.delete(collection(rbac, 'rolebindings', 'shop'), name)
  }
  await admin.delete(collection(rbac, 'clusterrolebindings'), 'latchkey-broker')
  await until('the grants to be gone', async () => !(await may(ourBroker, 'list', 'secrets', '-n', 'shop')), soon) // prettier-ignore
  await runOk(ground, {
    command: kubectl,
    args: ['--kubeconfig', cluster.server.kubeconfig, 'apply', '--validate=strict', '-f', '-'],
    stdin: stdout,
  })
  await until(
    'what was suggested to be granted',
    () => may(web, 'mount', 'secrets/db', '-n', 'shop'),
    soon,
  )
  await until(
    'the broker to be let in',
    () => may(ourBroker, 'watch', 'secrets', '-n', 'shop'),
    soon,
  )
  t.false(await may(web, 'mount', 'secrets/tls', '-n', 'shop'))
  t.false(await may(web, 'mount', 'secrets/payroll', '-n', 'shop'))
  t.false(await may(ourBroker, 'delete', 'secrets', '-n', 'shop'))
  t.false(await may(ourBroker, 'list', 'secrets', '-n', 'default'))
  const next = await startBroker(ground, { name: 'next', host: ground.host(11), kubeconfig })
  await delivered('second', next)
})
