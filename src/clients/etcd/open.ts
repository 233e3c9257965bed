import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { printHostPort, type HostPort } from '../../base/address.ts'
import { LatchkeyError, systemCode } from '../../base/errors.ts'
import { readTlsIdentity } from '../../net/tls-identity.ts'
import { EtcdClient, type EtcdDeps } from './client.ts'
import { requireOneCluster, requireTold, type AnsweringMember } from './clusters.ts'
import { EtcdConnections } from './connections.ts'
import type { TlsMaterial } from './endpoint.ts'
import { printEndpoints, type EtcdAccess, type EtcdTlsFiles } from './flags.ts'

/** For a client that outlives its certificate: look at the files and use new ones. */
export interface CertificateReload {
  readonly signal: AbortSignal
  /** How often to look, in milliseconds. Default 30,000. */
  readonly everyMs?: number
  /** New files cannot be used; what is in use stays. */
  readonly onProblem?: (error: unknown) => void
}

/**
 * A client of the cluster at `access`. It connects when it is first used.
 *
 * @throws `ERR_TLS_INVALID` when a file cannot be read or is not what it should be.
 */
export async function openEtcd(
  access: EtcdAccess,
  deps: EtcdDeps & { readonly reload?: CertificateReload },
): Promise<EtcdClient> {
  const material = access.tls && (await readMaterial(access.tls))
  const connections = new EtcdConnections(access.endpoints, material)
  const closed = new AbortController()
  if (access.tls !== undefined && deps.reload !== undefined) {
    const signal = AbortSignal.any([deps.reload.signal, closed.signal])
    void followFiles(access.tls, material, connections, {
      ...deps,
      reload: { ...deps.reload, signal },
    })
  }
  const location = printEndpoints(access)
  const onClose = (): void => {
    closed.abort()
  }
  return new EtcdClient(connections, { location, onClose }, deps)
}

/**
 * A client for each *cluster* among `accesses`: members of one cluster that were named apart from each
 * other would be read twice.
 *
 * @throws as {@link openEtcd}; `ERR_USAGE` when an access names members of two clusters, or when two
 * accesses cannot be told apart, since what is not read would pass as not there; as every read when one
 * of several accesses cannot be asked which cluster it is of.
 */
export async function openEtcdClusters(
  accesses: readonly EtcdAccess[],
  deps: EtcdDeps,
): Promise<readonly EtcdClient[]> {
  const clients: EtcdClient[] = []
  try {
    const groups = new Map<number, Group>()
    for (const access of accesses) {
      using asked = await openEtcd(access, deps)
      const members = await asked.answering()
      requireOneCluster(members)
      // Of one that does not answer, whoever reads it will say so.
      const id = accesses.length === 1 ? 0 : (members[0]?.clusterId ?? (await asked.clusterId()))
      const known = groups.get(id)
      if (known !== undefined) requireTold(known.members, members)
      groups.set(id, {
        access: { ...access, endpoints: distinct(known?.access.endpoints ?? [], access.endpoints) },
        members: [...(known?.members ?? []), ...members],
      })
    }
    for (const { access } of groups.values()) clients.push(await openEtcd(access, deps))
    return clients
  } catch (error) {
    for (const client of clients) client.close()
    throw error
  }
}

interface Group {
  readonly access: EtcdAccess
  readonly members: readonly AnsweringMember[]
}

function distinct(...lists: readonly (readonly HostPort[])[]): readonly HostPort[] {
  return [...new Map(lists.flat().map((place) => [printHostPort(place), place])).values()]
}

async function readMaterial(files: EtcdTlsFiles): Promise<TlsMaterial> {
  const ca = files.ca === undefined ? undefined : await readAuthorities(files.ca)
  const identity = files.identity && (await readTlsIdentity(files.identity))
  return { ca, identity }
}

async function readAuthorities(path: string): Promise<Buffer> {
  let pem: Buffer
  try {
    pem = await readFile(path)
  } catch (error) {
    throw new LatchkeyError(
      'ERR_TLS_INVALID',
      `the certificate authority ${path} cannot be read: ${systemCode(error) ?? 'unknown error'}`,
      { cause: error },
    )
  }
  try {
    new X509Certificate(pem)
    return pem
  } catch {
    throw new LatchkeyError('ERR_TLS_INVALID', `${path} is not a certificate in PEM`)
  }
}

/** Reading, rather than watching, sees every way in which files come to be replaced. */
async function followFiles(
  files: EtcdTlsFiles,
  first: TlsMaterial | undefined,
  connections: EtcdConnections,
  deps: EtcdDeps & { readonly reload: CertificateReload },
): Promise<void> {
  const { signal, everyMs = 30_000, onProblem } = deps.reload
  let current = first
  for (;;) {
    await deps.clock.sleep(everyMs, signal).catch(() => undefined)
    if (signal.aborted) return
    try {
      const next = await readMaterial(files)
      if (isSame(next, current)) continue
      current = next
      connections.replaceCredentials(next)
    } catch (error) {
      onProblem?.(error)
    }
  }
}

function isSame(one: TlsMaterial, other: TlsMaterial | undefined): boolean {
  const parts = (material: TlsMaterial | undefined): Buffer =>
    Buffer.concat(
      [material?.ca, material?.identity?.cert, material?.identity?.key].map(
        (part) => part ?? Buffer.of(0),
      ),
    )
  return parts(one).equals(parts(other))
}
