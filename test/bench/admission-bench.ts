import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { Agent, request } from 'node:https'
import { startApiServer } from '../e2e/support/api-server.ts'
import { writeIdentity } from '../e2e/support/authority.ts'
import { startChild } from '../e2e/support/child.ts'
import { createClusterIdentity } from '../e2e/support/cluster-identity.ts'
import { startEtcd } from '../e2e/support/etcd.ts'
import type { Ground } from '../e2e/support/ground.ts'
import { until } from '../e2e/support/until.ts'
import {
  configurationName,
  configurations,
  installWebhook,
  startWebhook,
  webhookAddress,
} from '../e2e/support/webhook.ts'
import { printTable, quantile } from './figures.ts'
import { usageOf } from './process-usage.ts'

/** The p99 of serial admissions that the webhook is held to, milliseconds. */
const boundMs = 10

/** As deploy/cluster/webhook/deployment.yaml has it; the do-nothing webhook gets the same. */
const environment = { NODE_OPTIONS: '--max-semi-space-size=2' }

const list = `- { secret: db, key: password, path: /etc/app/db/password }
- { secret: tls, path: /etc/app/tls/, containers: [proxy] }
- secret: db
  path: /etc/app/config/database.ini
  template: |
    user={{ username }}
    password={{ password }}
`

/** A review as the API server sends it: a pod of two containers, of the size that pods have. */
function review(): string {
  const container = (name: string): object => ({
    name,
    image: `registry.example/${name}:1.2.3`,
    env: Array.from({ length: 20 }, (_, index) => ({ name: `VARIABLE_${index}`, value: 'value' })),
    resources: { requests: { cpu: '100m', memory: '128Mi' } },
    terminationMessagePath: '/dev/termination-log',
    imagePullPolicy: 'IfNotPresent',
  })
  const kind = { group: '', version: 'v1', kind: 'Pod' }
  const resource = { group: '', version: 'v1', resource: 'pods' }
  return JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      ...{ uid: randomUUID(), kind, resource, operation: 'CREATE', namespace: 'shop' },
      userInfo: { username: 'system:serviceaccount:kube-system:replicaset-controller' },
      dryRun: false,
      object: {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          generateName: 'web-5d4f8b9c7-',
          namespace: 'shop',
          labels: { app: 'web' },
          annotations: { 'latchkey.dev/secrets': list },
        },
        spec: { serviceAccountName: 'web', containers: [container('app'), container('proxy')] },
      },
    },
  })
}

/** Sends a review and resolves with the answer's text once all of it is there. */
async function ask(agent: Agent, host: string): Promise<string> {
  const body = review()
  const sent = request({
    ...{ agent, host, port: 8443, path: '/admit', method: 'POST' },
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
  })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [NodeJS.ReadableStream]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

/** Milliseconds of each of `calls` admissions, `inFlight` at a time. */
async function load(
  agent: Agent,
  host: string,
  options: { readonly calls: number; readonly inFlight: number },
): Promise<readonly number[]> {
  const times: number[] = []
  let left = options.calls
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      const begin = performance.now()
      await ask(agent, host)
      times.push(performance.now() - begin)
    }
  }
  await Promise.all(Array.from({ length: options.inFlight }, worker))
  return times
}

/**
 * Admission of an annotated pod by the real webhook over TLS, audit written, beside a webhook that does
 * nothing; each in turn, one and fifty in flight.
 *
 * @returns `false` when the bound on serial admissions was broken, and not by a busy machine.
 */
export async function benchAdmission(
  ground: Ground,
  options: {
    readonly program: (name: string) => string
    readonly rounds: number
    readonly calls: number
  },
): Promise<boolean> {
  const host = webhookAddress(ground)
  const yardstickHost = ground.host(21)
  const etcd = await startEtcd(ground)
  const identity = await createClusterIdentity(ground)
  const server = await startApiServer(ground, { etcd, identity })
  await installWebhook(server, `https://${host}:8443/admit`)
  const webhook = await startWebhook(ground, {
    ...{ server, identity, host },
    program: options.program('latchkey-webhook'),
    env: environment,
  })
  await until(
    'the webhook to be ready',
    async () => {
      if (!webhook.running()) throw new Error(webhook.stderr())
      return (await fetch(`${webhook.metrics}/readyz`)).ok
    },
    { timeoutMs: 30_000, everyMs: 100 },
  )
  const files = await writeIdentity(
    identity.dir,
    'do-nothing',
    await identity.authority.issue({
      ...{ commonName: 'do-nothing', hosts: [yardstickHost], use: ['server'] },
    }),
  )
  startChild(ground, {
    name: 'do-nothing-webhook',
    command: process.execPath,
    env: environment,
    args: [options.program('do-nothing-webhook'), yardstickHost, files.cert, files.key],
  })
  const { webhooks } = (await server.admin.get(
    configurations.mutating,
    configurationName,
  )) as unknown as { webhooks: { clientConfig: { caBundle: string } }[] }
  const bundle = Buffer.from(webhooks[0]?.clientConfig.caBundle ?? '', 'base64').toString()
  const agentOf = (ca: string): Agent => new Agent({ keepAlive: true, maxSockets: 64, ca })
  const ours = { name: 'latchkey-webhook', host, agent: agentOf(bundle) }
  const yardstick = {
    ...{ name: 'do-nothing', host: yardstickHost },
    agent: agentOf(identity.authority.cert),
  }
  const contenders = [ours, yardstick]
  await until('the yardstick to listen', () => ask(yardstick.agent, yardstickHost), {
    timeoutMs: 10_000,
    everyMs: 50,
  })
  const answer = await ask(ours.agent, host)
  if (!answer.includes('"patch"')) throw new Error(`the pod was not injected: ${answer}`)

  const times = new Map<string, number[]>()
  for (let round = 0; round <= options.rounds; round += 1) {
    for (const { name, host: at, agent } of contenders) {
      for (const inFlight of [1, 50]) {
        const took = await load(agent, at, { calls: options.calls, inFlight })
        // The first round warms up.
        if (round === 0) continue
        const key = `${name} ${inFlight}`
        times.set(key, [...(times.get(key) ?? []), ...took])
      }
    }
  }
  const { rssMb } = usageOf(webhook.pid)
  const at = (name: string, inFlight: number, q: number): number =>
    quantile(times.get(`${name} ${inFlight}`) ?? [], q)
  const rows = [1, 50].flatMap((inFlight) =>
    contenders.map(({ name }) => [
      `${name}, ${inFlight} in flight`,
      at(name, inFlight, 0.5).toFixed(2),
      at(name, inFlight, 0.99).toFixed(2),
      (at(name, inFlight, 0.5) / at('do-nothing', inFlight, 0.5)).toFixed(2),
    ]),
  )
  const total = options.calls * options.rounds
  printTable(`admission of an annotated pod over TLS, ${total} each`, [
    ['', 'p50 ms', 'p99 ms', 'p50 ÷ do-nothing'],
    ...rows,
  ])
  const [serial, idle] = [at('latchkey-webhook', 1, 0.99), at('do-nothing', 1, 0.99)]
  // Where doing nothing takes a third of the bound, other programs have the machine.
  const busy = idle > boundMs / 3
  const verdict =
    serial < boundMs ? 'within' : busy ? 'on a machine too busy to hold it against' : 'BEYOND'
  console.log(`  RSS of the webhook afterwards: ${rssMb.toFixed(0)} MB`)
  console.log(
    `  p99 of serial admissions ${serial.toFixed(2)} ms, ${verdict} the bound of ${boundMs} ms`,
  )
  for (const { agent } of contenders) agent.destroy()
  return verdict !== 'BEYOND'
}
