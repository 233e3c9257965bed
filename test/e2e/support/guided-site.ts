import { copyFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parse, stringify } from 'yaml'
import { type Block, sections } from '../../support/markdown.ts'
import { type ApiServer, startApiServer } from './api-server.ts'
import { binary } from './binaries.ts'
import { createClusterIdentity } from './cluster-identity.ts'
import { type Etcd, startEtcd } from './etcd.ts'
import type { Ground } from './ground.ts'
import { kmsCheck } from './kms-check.ts'
import { collection } from './kubernetes.ts'
import { buildRelease } from './release.ts'
import { runOk } from './run-program.ts'
import { readStoredObject } from './stored-object.ts'
import { type SystemdMachine, startSystemdMachine } from './systemd-machine.ts'
import { until } from './until.ts'

/**
 * A control plane on which the guide is followed. Blocks marked `machine` and `kubeadm` run on a
 * machine with a real systemd, those marked `cluster` with real kubectl and etcdctl. The API server
 * stands beside the machine and does what the machine's kubelet would make it do.
 */
export interface GuidedSite {
  readonly machine: SystemdMachine
  readonly etcd: Etcd
  /** The API server that runs now. */
  server(): ApiServer
  /** Starts another in its place, with the machine's EncryptionConfiguration or without any. */
  replaceServer(how: 'encrypting' | 'plain'): Promise<void>
  /** Runs the blocks of a section that are not `# yours`; resolves with the output of each. */
  follow(heading: string, which?: (block: Block) => boolean): Promise<readonly string[]>
  /** Runs a script where kubectl and etcdctl work. */
  outside(script: string): Promise<string>
  /** The keys that `latchkey keys list` shows. */
  keys(): Promise<readonly { readonly id: string; readonly state: string }[]>
  /** Id of the key under which a Secret of the default namespace is stored; `undefined` in plaintext. */
  keyOf(name: string): Promise<string | undefined>
  /** Whether the API server reads the Secrets that were there from the beginning. */
  readable(): Promise<boolean>
  /** What the plugin has logged. */
  log(): Promise<string>
}

const secrets = collection('v1', 'secrets', 'default')
const data = { word: Buffer.from('in plaintext at first').toString('base64') }
const first = ['one', 'two', 'three']
const logFile = '/run/kms.log'

/** Makes the site as the guide finds it: a cluster with Secrets in plaintext, and the release in `/root`. */
export async function createGuidedSite(ground: Ground, guide: string): Promise<GuidedSite> {
  const config = join(ground.dir, 'encryption.yaml')
  const tarball = await buildRelease(ground)
  const [machine, etcd, identity] = await Promise.all([
    startSystemdMachine(ground, { tarball }),
    startEtcd(ground),
    createClusterIdentity(ground),
  ])
  // There is no journal on the machine.
  const dropIns = machine.path('/etc/systemd/system/latchkey-kms.service.d')
  await mkdir(dropIns, { recursive: true })
  await writeFile(join(dropIns, 'log.conf'), `[Service]\nStandardError=append:${logFile}\n`)

  let number = 1
  let server = await startApiServer(ground, { etcd, identity })
  for (const name of first) await server.admin.create(secrets, { metadata: { name }, data })

  const outside = async (script: string): Promise<string> => {
    // Without --norc, Bash takes its standard input, a socket, for a remote shell's.
    const args = ['--norc', '-euo', 'pipefail', '-c', script]
    return await runOk(ground, { command: 'bash', args, env: await clients(server, etcd) })
  }
  const keyOf = async (name: string): Promise<string | undefined> => {
    const stored = await etcd.client.get(`/registry/secrets/default/${name}`)
    return stored && readStoredObject(stored.value)?.keyId
  }
  const keys: GuidedSite['keys'] = async () => {
    const output = await machine.run(
      'runuser -u latchkey -- latchkey keys list --config /etc/latchkey/kms.yaml -o json',
    )
    return (JSON.parse(output) as { keys: { id: string; state: string }[] }).keys
  }
  /** When the configuration was last changed, in seconds since 1970. */
  let changedAt = 0
  const events: Readonly<Record<string, () => Promise<void>>> = {
    activated: async () => {
      const active = (await keys()).find(({ state }) => state === 'active')?.id
      await until(
        'the API server to write with the new key',
        async () => {
          await kmsCheck(server.admin)
          await server.admin.create(secrets, { metadata: { name: 'probe' }, data })
          const used = await keyOf('probe')
          await server.admin.delete(secrets, 'probe')
          return used === active
        },
        patience,
      )
    },
    reloads: async () => {
      await until(
        'the API server to take the new configuration',
        async () => {
          const { body } = await server.admin.text('/metrics')
          return Number(lastReload.exec(body)?.[1] ?? 0) > changedAt
        },
        patience,
      )
    },
  }
  const places: Readonly<Record<string, (script: string) => Promise<string>>> = {
    machine: async (script) => {
      const output = await machine.run(script)
      changedAt = (await showConfig(machine, config)) ?? changedAt
      return output
    },
    kubeadm: async (script) => {
      await prepareKubeadm(machine, guide)
      return await machine.run(script)
    },
    cluster: outside,
  }
  return {
    machine,
    etcd,
    server: () => server,
    replaceServer: async (how) => {
      await server.stop()
      number += 1
      const encryption = how === 'plain' ? {} : { encryptionConfig: config }
      server = await startApiServer(ground, { etcd, identity, number, ...encryption })
    },
    follow: async (heading, which = () => true) => {
      const section = sections(guide).find((it) => it.heading === heading)
      const blocks = (section?.blocks ?? []).filter(
        ({ language, text }) => language === 'sh' && !text.startsWith('# yours'),
      )
      const outputs: string[] = []
      for (const block of blocks.filter(which)) {
        const [place = '', ...awaited] = block.words
        for (const event of awaited) await known(events, event)()
        outputs.push(await known(places, place)(block.text))
      }
      if (outputs.length === 0) throw new Error(`"${heading}" of the guide has nothing to run`)
      return outputs
    },
    outside,
    keys,
    keyOf,
    readable: async () => {
      const { items } = await server.admin.list(secrets)
      const found = new Map(items.map((item) => [item.metadata.name, JSON.stringify(item['data'])]))
      return first.every((name) => found.get(name) === JSON.stringify(data))
    },
    log: async () => await readFile(machine.path(logFile), 'utf8').catch(() => ''),
  }
}

function known<T>(table: Readonly<Record<string, T>>, name: string): T {
  const found = table[name]
  if (found === undefined) throw new Error(`the guide marks a block with "${name}"`)
  return found
}

const patience = { timeoutMs: 150_000, everyMs: 1000 }
const lastReload =
  /^apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds\{.*status="success".*\} (\S+)$/m

/** The environment of someone for whom kubectl and etcdctl work. */
async function clients(server: ApiServer, etcd: Etcd): Promise<Record<string, string>> {
  const paths = [await binary('kubectl'), await binary('etcdctl')].map(dirname)
  const { ca, cert, key } = etcd.clientFiles
  return {
    PATH: [...paths, '/usr/bin', '/bin'].join(':'),
    KUBECONFIG: server.kubeconfig,
    ETCDCTL_ENDPOINTS: etcd.endpoints.join(','),
    ...{ ETCDCTL_CACERT: ca, ETCDCTL_CERT: cert, ETCDCTL_KEY: key },
  }
}

/**
 * Copies the machine's EncryptionConfiguration out, for an API server that sees the socket elsewhere.
 * Resolves with the moment, in seconds since 1970, from which it is there, when it is another now.
 */
async function showConfig(machine: SystemdMachine, config: string): Promise<number | undefined> {
  const inside = machine.path('/etc/kubernetes/latchkey/encryption.yaml')
  const text = await readFile(inside, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const seen = text.replaceAll('unix:///run/', `unix://${machine.path('/run/')}`)
  if (seen === (await readFile(config, 'utf8').catch(() => ''))) return undefined
  await writeFile(`${config}.new`, seen)
  const now = Date.now() / 1000
  await rename(`${config}.new`, config)
  return now
}

/** Puts kubeadm on the machine, and the ClusterConfiguration with what the guide adds to it. */
async function prepareKubeadm(machine: SystemdMachine, guide: string): Promise<void> {
  const addition = sections(guide)
    .flatMap(({ blocks }) => blocks)
    .find(({ language, words }) => language === 'yaml' && words[0] === 'kubeadm')?.text
  const apiVersion = 'kubeadm.k8s.io/v1beta4'
  const documents = [
    // kubeadm would find the address itself if the machine had more than its loopback.
    { apiVersion, kind: 'InitConfiguration', localAPIEndpoint: { advertiseAddress: '192.0.2.10' } },
    {
      apiVersion,
      kind: 'ClusterConfiguration',
      kubernetesVersion: 'v1.36.3',
      ...(parse(addition ?? '') as object),
    },
  ]
  await copyFile(await binary('kubeadm'), machine.path('/usr/local/bin/kubeadm'))
  await mkdir(machine.path('/etc/kubernetes/manifests'), { recursive: true })
  await writeFile(
    machine.path('/root/kubeadm.yaml'),
    documents.map((document) => stringify(document)).join('---\n'),
  )
}
