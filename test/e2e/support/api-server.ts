import { join } from 'node:path'
import { apiServerFlags } from './api-server-flags.ts'
import { writeIdentity } from './authority.ts'
import { binary } from './binaries.ts'
import { type Child, startChild, tail } from './child.ts'
import type { ClusterIdentity } from './cluster-identity.ts'
import type { Etcd } from './etcd.ts'
import type { Ground } from './ground.ts'
import { createHttpsClient } from './https.ts'
import { type Kubernetes, collection, createKubernetes } from './kubernetes.ts'
import { writeKubeconfig } from './kubeconfig.ts'
import { GivenUp, until } from './until.ts'

/** A real kube-apiserver. */
export interface ApiServer {
  readonly name: string
  readonly url: string
  /** As a member of `system:masters`. */
  readonly admin: Kubernetes
  /** Path of a kubeconfig of the same administrator. */
  readonly kubeconfig: string
  /** As someone else. */
  as(user: { readonly name: string; readonly group?: string }): Promise<Kubernetes>
  /** Starts it and returns when it is ready. */
  start(): Promise<void>
  /** Ends it, with SIGTERM unless told otherwise. */
  stop(how?: 'gracefully' | 'at once'): Promise<void>
  /** What it has logged since its last start. */
  log(): string
}

/** Options of {@link startApiServer}. */
export interface ApiServerOptions {
  readonly etcd: Etcd
  readonly identity: ClusterIdentity
  /** Path of an EncryptionConfiguration, which is then also reloaded when it changes. */
  readonly encryptionConfig?: string
  /** Default: the newest. */
  readonly program?: 'kube-apiserver' | 'older-kube-apiserver'
  /** Number of the server in its cluster, from 1 (default); its address is host 100 + number. */
  readonly number?: number
  /** Its address. Default: host 100 + number of the ground. */
  readonly host?: string
  /** Further names and addresses for its certificate. */
  readonly alsoKnownAs?: readonly string[]
  /** Appended to the command line; of a flag given twice the last counts. */
  readonly flags?: readonly string[]
  /**
   * The host name that it sees. API servers derive their identity, and so the name of their Lease,
   * from it: on one machine several need several. Default: the machine's.
   */
  readonly hostname?: string
}

const port = 6443

/** Starts an API server and returns when it is ready. */
export async function startApiServer(
  ground: Ground,
  options: ApiServerOptions,
): Promise<ApiServer> {
  const { etcd, identity, number = 1 } = options
  const name = `kube-apiserver-${number}`
  const host = options.host ?? ground.host(100 + number)
  const url = `https://${host}:${port}`
  const program = await binary(options.program ?? 'kube-apiserver')
  const hosts = [host, 'localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc']
  hosts.push(...(options.alsoKnownAs ?? []))
  const serving = await writeIdentity(
    identity.dir,
    name,
    await identity.authority.issue({ commonName: name, hosts, use: ['server'] }),
  )
  const administrator = await identity.authority.issue({
    commonName: 'admin',
    organization: 'system:masters',
    use: ['client'],
  })
  const kubeconfig = join(identity.dir, `${name}.kubeconfig`)
  await writeKubeconfig(kubeconfig, {
    server: url,
    ca: identity.authority.cert,
    identity: administrator,
  })

  const connect = (who: typeof administrator): Kubernetes => {
    const https = createHttpsClient(url, { ca: identity.authority.cert, identity: who })
    ground.defer(`connections to ${name}`, () => {
      https.close()
    })
    return createKubernetes(https)
  }
  const admin = connect(administrator)
  let child: Child | undefined
  const server: ApiServer = {
    name,
    url,
    admin,
    kubeconfig,
    as: async (user) =>
      connect(
        await identity.authority.issue({
          commonName: user.name,
          ...(user.group === undefined ? {} : { organization: user.group }),
          use: ['client'],
        }),
      ),
    start: async () => {
      child = startChild(ground, {
        name,
        ...asHost(options.hostname, program, [
          ...apiServerFlags({
            host,
            port,
            serving,
            identity,
            etcd,
            encryptionConfig: options.encryptionConfig,
          }),
          ...(options.flags ?? []),
        ]),
      })
      await ready(child, admin)
    },
    stop: async (how = 'gracefully') => {
      await (how === 'gracefully' ? child?.stop(30_000) : child?.kill())
    },
    log: () => child?.stderr() ?? '',
  }
  await server.start()
  return server
}

/** How to run `program` where the host name is another. The process stays the one that is started. */
function asHost(
  hostname: string | undefined,
  program: string,
  args: readonly string[],
): { readonly command: string; readonly args: readonly string[] } {
  if (hostname === undefined) return { command: program, args }
  // Without root's rights, a user namespace gives the right to name a host of one's own.
  const own = process.getuid?.() === 0 ? ['--uts'] : ['--uts', '--map-root-user']
  const script = 'echo "$0" >/proc/sys/kernel/hostname && exec "$@"'
  return { command: 'unshare', args: [...own, 'sh', '-c', script, hostname, program, ...args] }
}

async function hasNamespaces(admin: Kubernetes): Promise<boolean> {
  for (const name of ['default', 'kube-system']) {
    await admin.get(collection('v1', 'namespaces'), name)
  }
  return true
}

async function ready(child: Child, admin: Kubernetes): Promise<void> {
  await until(
    `${child.name} to be ready`,
    async () => {
      if (!child.running()) throw new GivenUp(`it ended:\n${tail(child.stderr())}`)
      const { status, body } = await admin.text('/readyz?verbose')
      // The namespaces that every cluster has are made beside that, and not asked for by it.
      if (status === 200) return await hasNamespaces(admin)
      throw new Error(`${status}\n${tail(body.replaceAll(/^\[\+\].*\n/gm, ''))}`)
    },
    { timeoutMs: 60_000, everyMs: 100 },
  )
}
