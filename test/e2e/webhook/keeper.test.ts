import test from 'ava'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { stringify } from 'yaml'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { binary } from '../support/binaries.ts'
import { type ClusterIdentity, createClusterIdentity } from '../support/cluster-identity.ts'
import { startEtcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { runOk } from '../support/run-program.ts'
import { type Timed, timed, told, withinASecond } from '../support/timed.ts'
import { until } from '../support/until.ts'
import {
  at,
  configurationName,
  configurations,
  installed,
  installWebhook,
  startWebhook,
  webhookAddress,
  type WebhookProcess,
} from '../support/webhook.ts'

const ground = useGround(test)
const host = webhookAddress(ground)
const url = `https://${host}:8443/admit`
const paths = Object.values(configurations)

let server: ApiServer
let identity: ClusterIdentity
let kubectl: string
/** Path of the manifests, as they are applied. */
let manifests: string
const replicas: WebhookProcess[] = []

interface Entry {
  readonly clientConfig: { readonly caBundle?: string }
}

test.before(async () => {
  const etcd = await startEtcd(ground)
  identity = await createClusterIdentity(ground)
  server = await startApiServer(ground, { etcd, identity })
  kubectl = await binary('kubectl')
  await installWebhook(server, url)
  manifests = join(ground.dir, 'configuration.yaml')
  const objects = (await installed('configuration.yaml')).map((object) => at(object, url))
  await writeFile(manifests, objects.map((object) => stringify(object)).join('---\n'))
  for (const address of [host, ground.host(21)]) await start(address)
})

async function start(address: string): Promise<void> {
  const replica = await startWebhook(ground, { server, identity, host: address })
  replicas.push(replica)
  await until(
    'a replica to be ready',
    async () => {
      if (!replica.running()) throw new Error(replica.stderr())
      return (await fetch(`${replica.metrics}/readyz`)).ok
    },
    { timeoutMs: 30_000, everyMs: 100 },
  )
}

const run = (...args: readonly string[]): Promise<string> =>
  runOk(ground, { command: kubectl, args: ['--kubeconfig', server.kubeconfig, ...args] })

async function entriesOf(path: string): Promise<readonly Entry[]> {
  const found = await server.admin.get(path, configurationName)
  return found['webhooks'] as readonly Entry[]
}

async function bundles(): Promise<readonly string[]> {
  const entries = (await Promise.all(paths.map(entriesOf))).flat()
  return entries.map(({ clientConfig }) => clientConfig.caBundle ?? '')
}

/** What passes until every entry has the bundle. */
async function isBack(before: string): Promise<Timed> {
  return await timed('the bundle', async () => (await bundles()).every((each) => each === before))
}

/** Writes an entry's bundle, or takes it away, as an administrator. */
async function write(path: string, caBundle: string | undefined): Promise<void> {
  const attempt = async (): Promise<unknown> => {
    const current = await server.admin.get(path, configurationName)
    const webhooks = (current['webhooks'] as Entry[]).map((entry) => {
      const { caBundle: _, ...clientConfig } = entry.clientConfig
      return { ...entry, clientConfig: { ...clientConfig, ...(caBundle && { caBundle }) } }
    })
    return await server.admin.replace(path, { ...current, webhooks })
  }
  // A keeper may write in between, and then it is a conflict.
  await until('the write', attempt, { timeoutMs: 10_000, everyMs: 1 })
}

test.serial('applying the manifests again leaves the bundle where it is', async (t) => {
  const before = await bundles()
  t.false(before.includes(''))
  await run('apply', '--server-side', '--force-conflicts', '-f', manifests)
  t.deepEqual(await bundles(), before)
  await run('apply', '-f', manifests)
  t.deepEqual(await bundles(), before)
})

test.serial('replaced, emptied, or given another one, it is back within a second', async (t) => {
  const [before = ''] = await bundles()
  const took: Record<string, Timed> = {}
  await run('replace', '-f', manifests)
  took['replace'] = await isBack(before)
  for (const path of paths) await write(path, undefined)
  took['empty'] = await isBack(before)
  for (const path of paths)
    await write(path, Buffer.from(identity.authority.cert).toString('base64'))
  took['another'] = await isBack(before)
  await run('delete', '-f', manifests)
  await run('create', '-f', manifests)
  took['made anew'] = await isBack(before)
  for (const [how, each] of Object.entries(took)) {
    t.log(`${how}: ${told(each)}`)
    t.true(withinASecond(each), `${how}: ${told(each)}`)
  }
})

test.serial('two replicas do not go on writing against each other', async (t) => {
  const versions = async (): Promise<readonly unknown[]> =>
    await Promise.all(
      paths.map(async (path) => (await server.admin.get(path, configurationName)).metadata),
    )
  const [before = ''] = await bundles()
  for (const path of paths) await write(path, undefined)
  await isBack(before)
  // What the second had begun when the first was done may still come; after that, nothing does.
  let [rested, now] = [await versions(), await versions()]
  for (let round = 0; round < 5; round += 1) {
    rested = now
    await sleep(2_000)
    now = await versions()
    if (isDeepStrictEqual(now, rested)) break
  }
  t.deepEqual(now, rested)
})

test.serial('wiped while no keeper runs, it is back as soon as one does', async (t) => {
  const [before = ''] = await bundles()
  for (const replica of replicas) await replica.stop()
  for (const path of paths) await write(path, undefined)
  t.deepEqual([...new Set(await bundles())], [''])
  await start(host)
  await isBack(before)
  t.pass()
})
