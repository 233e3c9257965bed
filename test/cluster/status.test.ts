import test from 'ava'
import { parse, stringify } from 'yaml'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgram, type Ran } from '../e2e/support/run-program.ts'
import { collection } from '../e2e/support/kubernetes.ts'
import { until } from '../e2e/support/until.ts'
import { processOf } from './support/container-process.ts'
import { statusOf } from './support/pods.ts'
import { createShop, type Shop } from './support/shop.ts'
import { takeTurnsWith } from './support/turn.ts'
import { useCluster } from './support/use-cluster.ts'
import { deployment } from './support/workload.ts'

// latchkey delivery status, from outside of the cluster and from inside, at two brokers.

const cluster = useCluster(test)
takeTurnsWith(test, cluster)
const namespace = 'status'
const system = 'latchkey-system'
const rbac = 'rbac.authorization.k8s.io/v1'
const brokersOwn = `${system}/latchkey-broker`

let shop: Shop

interface Answer {
  readonly current: number
  readonly pods: readonly { readonly pod: string; readonly state: string }[]
  readonly replicas: readonly { readonly replica: string }[]
  readonly unanswered: readonly string[]
}

const ask = (...args: readonly string[]): Promise<Ran> =>
  cluster.latchkey('delivery', 'status', 'secret/db', '--namespace', namespace, ...args)

const brokerPods = async (): Promise<readonly string[]> => {
  const { items } = await cluster.admin.list(collection('v1', 'pods', system), {
    labelSelector: 'app.kubernetes.io/component=broker',
  })
  return items.map(({ metadata }) => metadata.name).sort()
}

const replicasOf = ({ stdout }: Ran): readonly string[] =>
  (JSON.parse(stdout) as Answer).replicas.map(({ replica }) => replica).sort()

test.before(async () => {
  // Those that others have taken out of service may still be on their way out.
  await until('two brokers', async () => (await brokerPods()).length === 2, {
    timeoutMs: 60_000,
    everyMs: 200,
  })
  shop = await createShop(cluster, namespace)
  await shop.put('db', { password: 'first-password' })
  await shop.grant('db')
  const secrets = '- { secret: db, key: password, path: /etc/secrets/password }'
  await cluster.apply(
    deployment(namespace, 'web', { secrets, user: 1234, replicas: 3 }),
    ...['viewer', 'stranger', 'laptop'].map((name) => ({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name, namespace },
    })),
  )
  await shop.kubectl('rollout', 'status', 'deployment/web', '--timeout=3m')
  await shop.kubectl(
    ...['create', 'rolebinding', 'viewer', '--clusterrole=view'],
    ...[`--serviceaccount=${namespace}:viewer`, `--serviceaccount=${namespace}:laptop`],
  )
})

test.serial('who has a kubeconfig alone asks every replica through the API server', async (t) => {
  const ran = await ask('--account', 'viewer', '--output', 'json')
  t.is(ran.code, 0, ran.stderr)
  t.regex(ran.stderr, /^3 of 3 pods have the newest content of secret\/db$/m)
  t.notRegex(ran.stderr, /warning/)
  t.like(JSON.parse(ran.stdout), { current: 3, unanswered: [] })
  t.deepEqual(replicasOf(ran), await brokerPods())
  t.is(replicasOf(ran).length, 2)
  const own = await ask('--account', brokersOwn)
  t.is(own.code, 0, own.stderr)
})

test.serial('an account that may not list the pods learns nothing', async (t) => {
  const ran = await ask('--account', 'stranger')
  t.is(ran.code, 1)
  t.is(ran.stdout, '')
  t.regex(ran.stderr, /may not list the pods/)
})

test.serial('the rights that --help names are enough, and each is needed', async (t) => {
  const token = (
    await cluster.kubectl('create', 'token', 'laptop', `--namespace=${namespace}`)
  ).trim()
  const file = join(cluster.ground.dir, 'laptop.kubeconfig')
  const config = parse(await readFile(cluster.kubeconfig, 'utf8')) as {
    readonly users: readonly { user: object }[]
  }
  // As the tools of managed clusters write it: a command prints the token.
  const apiVersion = 'client.authentication.k8s.io/v1'
  const printed = JSON.stringify({ apiVersion, kind: 'ExecCredential', status: { token } })
  const args = ['--eval', `console.log(${JSON.stringify(printed)})`]
  const exec = { apiVersion, command: process.execPath, args, interactiveMode: 'Never' }
  for (const entry of config.users) entry.user = { exec }
  await writeFile(file, stringify(config), { mode: 0o600 })
  const laptop = (): Promise<Ran> =>
    runProgram(cluster.ground, {
      command: process.execPath,
      args: [
        join(import.meta.dirname, '../../cmd/latchkey.ts'),
        ...['delivery', 'status', 'secret/db', '--namespace', namespace],
        ...['--account', 'viewer', '--kubeconfig', file],
      ],
    })
  const rights = [
    {
      place: namespace,
      rule: { apiGroups: [''], resources: ['serviceaccounts/token'], verbs: ['create'] },
      missing: /create on serviceaccounts\/token in namespace status/,
    },
    {
      place: undefined,
      rule: {
        apiGroups: ['admissionregistration.k8s.io'],
        resources: ['mutatingwebhookconfigurations'],
        resourceNames: ['injector.latchkey.dev'],
        verbs: ['get'],
      },
      missing: /get on mutatingwebhookconfigurations\/injector\.latchkey\.dev/,
    },
    {
      place: system,
      rule: { apiGroups: [''], resources: ['pods'], verbs: ['list'] },
      missing: /list on pods in namespace latchkey-system/,
    },
    {
      place: system,
      rule: { apiGroups: [''], resources: ['pods/portforward'], verbs: ['get', 'create'] },
      missing: /get and create on pods\/portforward in namespace latchkey-system/,
    },
  ]
  for (const [index, { place, rule, missing }] of rights.entries()) {
    const refused = await laptop()
    t.is(refused.code, 1)
    t.regex(refused.stderr, missing)
    const name = `status-laptop-${index}`
    const kind = place === undefined ? 'ClusterRole' : 'Role'
    const scope = place === undefined ? {} : { namespace: place }
    await cluster.apply(
      { apiVersion: rbac, kind, metadata: { name, ...scope }, rules: [rule] },
      {
        apiVersion: rbac,
        kind: `${kind}Binding`,
        metadata: { name, ...scope },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name },
        subjects: [{ kind: 'ServiceAccount', name: 'laptop', namespace }],
      },
    )
    await until('the authorizer to know it', async () => !missing.test((await laptop()).stderr), {
      timeoutMs: 60_000,
      everyMs: 200,
    })
  }
  const ran = await laptop()
  t.is(ran.code, 0, ran.stderr)
})

test.serial('in a pod, the headless Service is the name of every replica', async (t) => {
  const token = await cluster.kubectl(
    ...['create', 'token', 'viewer', `--namespace=${namespace}`, '--audience=latchkey'],
  )
  const inside = (broker: string): Promise<Ran> =>
    cluster.tryKubectl(
      [
        ...['exec', '--stdin', `--namespace=${system}`, 'deployment/latchkey-broker', '--'],
        ...['latchkey', 'delivery', 'status', 'secret/db', '--namespace', namespace],
        ...['--broker', broker, '--ca', '/run/latchkey/tls/ca.crt'],
        ...['--token', '/dev/stdin', '--output', 'json'],
      ],
      token,
    )
  const ran = await inside(`latchkey-broker-replicas.${system}.svc:8443`)
  t.is(ran.code, 0, ran.stderr)
  t.notRegex(ran.stderr, /warning/)
  t.like(JSON.parse(ran.stdout), { current: 3, unanswered: [] })
  t.deepEqual(replicasOf(ran), await brokerPods())
  const one = await inside(`latchkey-broker.${system}.svc:24443`)
  t.is(replicasOf(one).length, 1)
  t.regex(one.stderr, /warning: .* reaches one replica.* latchkey-broker-replicas\./)
})

test.serial('a replica that does not answer makes the answer incomplete', async (t) => {
  const [name = ''] = await brokerPods()
  const pod = await cluster.admin.get(collection('v1', 'pods', system), name)
  const pid = await processOf(statusOf(pod).containers[0]?.containerID)
  process.kill(pid, 'SIGSTOP')
  let ran: Ran
  try {
    ran = await ask('--account', 'viewer', '--output', 'json')
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  t.is(ran.code, 1)
  t.regex(ran.stderr, new RegExp(`^warning: ${name} did not answer: `, 'm'))
  t.regex(ran.stderr, /the answer is incomplete: 1 of 2 replicas are not in it/)
  t.like(JSON.parse(ran.stdout), { unanswered: [name] })
  await until('every answer', async () => (await ask('--account', 'viewer')).code === 0, {
    timeoutMs: 120_000,
    everyMs: 500,
  })
})

test.serial('without a broker it says how to look for one', async (t) => {
  const ran = await ask('--account', 'viewer', '--system', namespace)
  t.is(ran.code, 1)
  t.regex(ran.stderr, /no broker runs in namespace status/)
  t.regex(ran.stderr, /--system/)
})
