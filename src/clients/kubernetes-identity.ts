import * as http from 'node:http'
import type * as https from 'node:https'
import { Agent } from 'node:https'
import type { Clock } from '../base/clock.ts'
import type { ClusterAccess, ClusterCredentials } from './kubernetes-access.ts'

const refreshMs = 30_000

/** Connections: kept ones for requests, one of its own for each stream. */
export interface Agents {
  readonly requests: http.Agent
  readonly streams: http.Agent
}

/** Who the client is now, and its connections as that identity. */
export interface Identity {
  current(): Promise<{ readonly agents: Agents; readonly token: string | undefined }>
  /** Credentials were refused: read them again before the next request. */
  expire(): void
  close(): void
}

/** Reads credentials again every 30 seconds and after {@link Identity.expire}. */
export function createIdentity(
  access: ClusterAccess,
  deps: { readonly clock: Pick<Clock, 'monotonicMs'>; readonly maxRequests: number },
): Identity {
  let agents: Agents | undefined
  let material: ClusterCredentials | undefined
  let known: Promise<ClusterCredentials> | undefined
  let readAtMs = 0
  let refused = false
  const read = (): Promise<ClusterCredentials> => {
    const now = deps.clock.monotonicMs()
    if (known === undefined || now - readAtMs > refreshMs) {
      readAtMs = now
      const former = known
      // A file that cannot be read for a moment does not take a working identity away.
      const reading = access.credentials(refused)
      refused = false
      known = reading.catch((error: unknown) => {
        if (former === undefined) known = undefined
        else return former
        throw error
      })
    }
    return known
  }
  return {
    current: async () => {
      const now = await read()
      if (agents === undefined || !sameMaterial(material, now)) {
        closeIdle(agents)
        agents = createAgents(access, { ...now, maxRequests: deps.maxRequests })
      }
      material = now
      return { agents, token: now.token }
    },
    expire: () => {
      refused = true
      readAtMs = -Infinity
    },
    close: () => {
      closeIdle(agents)
    },
  }
}

function sameMaterial(one: ClusterCredentials | undefined, other: ClusterCredentials): boolean {
  return one?.ca === other.ca && one?.cert === other.cert && one?.key === other.key
}

function createAgents(
  access: ClusterAccess,
  options: Omit<ClusterCredentials, 'token'> & { readonly maxRequests: number },
): Agents {
  const { ca, cert, key, maxRequests } = options
  if (access.server.protocol === 'http:') {
    const plain = new http.Agent({ keepAlive: true, maxSockets: maxRequests })
    return { requests: plain, streams: new http.Agent() }
  }
  const tls: https.AgentOptions = {
    minVersion: 'TLSv1.2',
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(access.serverName === undefined ? {} : { servername: access.serverName }),
  }
  return {
    requests: new Agent({
      ...tls,
      keepAlive: true,
      maxSockets: maxRequests,
      scheduling: 'lifo',
    }),
    streams: new Agent(tls),
  }
}

function closeIdle(agents: Agents | undefined): void {
  for (const sockets of Object.values(agents?.requests.freeSockets ?? {})) {
    for (const socket of sockets ?? []) socket.destroy()
  }
}
