import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Authority, type IdentityFiles, createAuthority, writeIdentity } from './authority.ts'
import { binary } from './binaries.ts'
import { type Child, startChild, tail } from './child.ts'
import { type EtcdClient, createEtcdClient } from './etcd-client.ts'
import type { Ground } from './ground.ts'
import { createHttpsClient } from './https.ts'
import { GivenUp, until } from './until.ts'

/** One member of an etcd cluster. */
export interface EtcdMember {
  readonly name: string
  readonly endpoint: string
  readonly client: EtcdClient
  /** Starts it with the data it had, and returns when it is healthy. */
  start(): Promise<void>
  /** Ends it, with SIGTERM unless told otherwise. */
  stop(how?: 'gracefully' | 'at once'): Promise<void>
}

/** A real etcd, TLS everywhere, with one or more members. */
export interface Etcd {
  readonly members: readonly EtcdMember[]
  readonly endpoints: readonly string[]
  /** The client to use when it does not matter which member answers. */
  readonly client: EtcdClient
  /** What a client such as the API server presents and trusts. */
  readonly clientFiles: IdentityFiles & { readonly ca: string }
}

/** Options of {@link startEtcd}. */
export interface EtcdOptions {
  /** Default 1. */
  readonly members?: number
  /** Its directory, and the beginning of its members' names. Default `etcd`. */
  readonly name?: string
  /** Number of the host before its first member's. Default 0: member n is at host n. */
  readonly behindHost?: number
  /** Of another etcd, whose clients reach this one with the same files. Default: its own. */
  readonly authority?: Authority
}

/**
 * Members on one busy machine hear of each other late, by etcd's defaults too late: it would change
 * its leader, and refuse calls meanwhile, with nobody gone.
 */
const elections = ['--heartbeat-interval=200', '--election-timeout=2000'] as const

/** Starts the members and returns when all are healthy. */
export async function startEtcd(ground: Ground, options: EtcdOptions = {}): Promise<Etcd> {
  const { name: clusterName = 'etcd', behindHost = 0 } = options
  const dir = join(ground.dir, clusterName)
  await mkdir(dir, { mode: 0o700 })
  const program = await binary('etcd')
  const authority = options.authority ?? (await createAuthority('etcd'))
  const ca = join(dir, 'ca.crt')
  await writeFile(ca, authority.cert)
  const admin = await authority.issue({ commonName: 'client', use: ['client'] })

  const places = Array.from({ length: options.members ?? 1 }, (_, index) => {
    const host = ground.host(behindHost + index + 1)
    return { name: `${clusterName}-${index + 1}`, host, peer: `https://${host}:2380` }
  })
  const cluster = places.map(({ name, peer }) => `${name}=${peer}`).join(',')
  const members = await Promise.all(
    places.map(async ({ name, host, peer }): Promise<EtcdMember> => {
      // One certificate for both roles: members call each other, and the gateway calls its member.
      // Members check the address they are called from, which on loopback is always this one.
      const hosts = [host, '127.0.0.1']
      const files = await writeIdentity(
        dir,
        name,
        await authority.issue({ commonName: name, hosts, use: ['server', 'client'] }),
      )
      const endpoint = `https://${host}:2379`
      const https = createHttpsClient(endpoint, { ca: authority.cert, identity: admin })
      const client = createEtcdClient(https)
      ground.defer(`connections to ${name}`, () => {
        https.close()
      })
      let child: Child | undefined
      return {
        name,
        endpoint,
        client,
        start: async () => {
          child = startChild(ground, {
            name,
            command: program,
            args: [
              ...[`--name=${name}`, `--data-dir=${join(dir, name)}`, '--log-level=warn'],
              ...[`--listen-client-urls=${endpoint}`, `--advertise-client-urls=${endpoint}`],
              ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`],
              ...[`--initial-cluster=${cluster}`, `--initial-cluster-token=${dir}`],
              ...(places.length > 1 ? elections : []),
              ...['--client-cert-auth', `--trusted-ca-file=${ca}`],
              ...[`--cert-file=${files.cert}`, `--key-file=${files.key}`],
              ...['--peer-client-cert-auth', `--peer-trusted-ca-file=${ca}`],
              ...[`--peer-cert-file=${files.cert}`, `--peer-key-file=${files.key}`],
            ],
          })
          await healthy(child, client)
        },
        stop: async (how = 'gracefully') => {
          await (how === 'gracefully' ? child?.stop() : child?.kill())
        },
      }
    }),
  )
  await Promise.all(
    members.map(async (member) => {
      await member.start()
    }),
  )
  const [first] = members
  if (first === undefined) throw new RangeError('an etcd cluster has at least one member')
  return {
    members,
    endpoints: members.map(({ endpoint }) => endpoint),
    client: first.client,
    clientFiles: { ...(await writeIdentity(dir, 'client', admin)), ca },
  }
}

async function healthy(child: Child, client: EtcdClient): Promise<void> {
  await until(
    `${child.name} to be healthy`,
    async () => {
      if (!child.running()) throw new GivenUp(`it ended:\n${tail(child.stderr())}`)
      return await client.healthy()
    },
    { timeoutMs: 30_000 },
  )
}
