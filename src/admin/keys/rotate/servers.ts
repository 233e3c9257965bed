import { sha256Label } from '../../../base/bytes.ts'
import { listOf, metaOf, objectOf, textOf } from '../../../clients/kubernetes-objects.ts'
import type { ApiServer, MissingServer } from './ports.ts'

/** An API server as its Lease in `kube-system` announces it. */
export interface AnnouncedServer {
  /** Name of the Lease, which is the server's identity: `apiserver-` and a hash of its host name. */
  readonly id: string
  readonly hostname: string
  /** `HOST:PORT` from annotation `kubernetes.io/peer-advertise-address`, which 1.36 and newer write. */
  readonly address: string | undefined
  /** Milliseconds since 1970; infinite where the Lease does not tell, so that nobody takes it for expired. */
  readonly renewedAtMs: number
  readonly durationMs: number
}

/** Label and value that mark the Leases of API servers (pkg/controlplane/apiserver/server.go). */
export const identitySelector = 'apiserver.kubernetes.io/identity=kube-apiserver'

/** A Lease that was not renewed for this long, of the ten seconds that are usual, has nobody behind it now. */
const silentMs = 60_000

/** Reads the list of Leases. */
export function readLeases(list: unknown): readonly AnnouncedServer[] {
  return listOf(objectOf(list), 'items').map((item) => {
    const spec = objectOf(objectOf(item)['spec'])
    const metadata = objectOf(objectOf(item)['metadata'])
    const annotations = objectOf(metadata['annotations'])
    const labels = objectOf(metadata['labels'])
    const { name } = metaOf(item)
    const seconds = spec['leaseDurationSeconds']
    return {
      id: name,
      hostname: textOf(labels, 'kubernetes.io/hostname') || name,
      address: textOf(annotations, 'kubernetes.io/peer-advertise-address') || undefined,
      renewedAtMs: Date.parse(textOf(spec, 'renewTime')) || Infinity,
      durationMs: (typeof seconds === 'number' ? seconds : 3600) * 1000,
    }
  })
}

/** `HOST:PORT` of every address of the Service `kubernetes`, from its EndpointSlices. */
export function readEndpointSlices(list: unknown): readonly string[] {
  return listOf(objectOf(list), 'items').flatMap((item) => {
    const slice = objectOf(item)
    const ports = listOf(slice, 'ports').map((port) => objectOf(port)['port'])
    const hosts = listOf(slice, 'endpoints').flatMap((endpoint) =>
      listOf(objectOf(endpoint), 'addresses').filter((host) => typeof host === 'string'),
    )
    return ports.flatMap((port) =>
      typeof port === 'number'
        ? hosts.map((host) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`))
        : [],
    )
  })
}

/** What asking one address came to. */
export interface Answered {
  readonly url: string
  /**
   * Identities that answered there, as `sha256:` hashes of Lease names: one for an API server, none
   * where it does not tell, several for a load balancer. `undefined`: nobody answered.
   */
  readonly identities: ReadonlySet<string> | undefined
  /** Why nobody answered. */
  readonly problem?: string
  /** Whether a person named it. */
  readonly named: boolean
  /** Whether the cluster itself gives it as the address of one server. */
  readonly direct: boolean
}

/**
 * Holds those that answered against those that announced themselves: every Lease that has not
 * expired must have exactly one address behind it that answers with its identity, and what a person
 * has named must be an API server too.
 */
export function matchServers(
  announced: readonly AnnouncedServer[],
  answers: readonly Answered[],
  nowMs: number,
): { readonly servers: readonly ApiServer[]; readonly missing: readonly MissingServer[] } {
  const servers: ApiServer[] = []
  const missing: MissingServer[] = []
  const single = (answer: Answered): string | undefined =>
    answer.identities?.size === 1 ? [...answer.identities][0] : undefined
  const matched = new Set<Answered>()
  // A clock here that is ahead of theirs must not expire anybody: who answers renews its Lease every
  // ten seconds, so the newest one tells what time it is at most.
  const newestMs = Math.max(
    ...announced.map(({ renewedAtMs }) => renewedAtMs).filter((ms) => ms !== Infinity),
  )
  const thereMs = Math.min(nowMs, newestMs + silentMs)
  for (const lease of announced) {
    const all = answers.filter((answer) => single(answer) === sha256Label(lease.id))
    // An entrance that always answered as this server may be a load balancer all the same.
    const answer = all.find(({ direct }) => direct) ?? all[0]
    if (answer !== undefined) {
      all.forEach((one) => matched.add(one))
      servers.push({ id: lease.id, name: lease.hostname, url: answer.url })
      continue
    }
    const silent = thereMs - lease.renewedAtMs
    if (silent > lease.durationMs) continue
    const reason =
      silent > silentMs
        ? `has not renewed its Lease ${lease.id} for ${Math.round(silent / 1000)} s and did not answer`
        : `(Lease ${lease.id}) was not reached at ${answers.map(({ url }) => url).join(', ') || 'any address'}`
    missing.push({ id: lease.id, name: lease.hostname, reason })
  }
  for (const answer of answers) {
    if (!answer.named || matched.has(answer)) continue
    const { url, identities } = answer
    if (identities === undefined) {
      missing.push({
        id: url,
        name: url,
        reason: `did not answer (${answer.problem ?? 'unknown'})`,
      })
    } else if (identities.size > 1) {
      const reason = 'is a load balancer: name the API servers behind it'
      missing.push({ id: url, name: url, reason })
    } else {
      servers.push({ id: url, name: url, url })
    }
  }
  return { servers, missing }
}
