import { LatchkeyError } from '../../base/errors.ts'
import { bytesOf, fieldsOf, numberOf } from './codec.ts'
import type { EtcdConnections } from './connections.ts'

const timeoutMs = 3_000

/** Who answers at an endpoint. Ids are 64 bits wide and read inexactly: good for telling two apart. */
export interface AnsweringMember {
  readonly endpoint: string
  readonly clusterId: number
  readonly memberId: number
}

/** Asks each endpoint that `connections` knows who it is; those that do not say are left out. */
export async function readAnswering(
  connections: EtcdConnections,
  signal?: AbortSignal,
): Promise<readonly AnsweringMember[]> {
  const answers = await Promise.all(
    connections.names.map(async (endpoint, index) => {
      const limits = { timeoutMs, signal }
      const answer = await connections
        .unaryAt(index, 'Cluster/MemberList', Buffer.alloc(0), limits)
        .catch(() => undefined)
      return answer && { endpoint, ...idsOf(answer) }
    }),
  )
  signal?.throwIfAborted()
  return answers.filter((answer) => answer !== undefined)
}

/** The ids in an answer's header. */
export function idsOf(answer: Uint8Array): Omit<AnsweringMember, 'endpoint'> {
  const header = fieldsOf(bytesOf(fieldsOf(answer).get(1)))
  return { clusterId: numberOf(header.get(1)), memberId: numberOf(header.get(2)) }
}

/**
 * Sees to it that those that answer under one name are of one cluster: a reader asks any of them, and
 * takes what it holds for everything.
 *
 * @throws `ERR_USAGE` naming two that are not.
 */
export function requireOneCluster(members: readonly AnsweringMember[]): void {
  const [first] = members
  const other = members.find(({ clusterId }) => clusterId !== first?.clusterId)
  if (first !== undefined && other !== undefined) {
    throw differentClusters([first.endpoint, other.endpoint])
  }
}

/** The refusal of endpoints that are not all of one cluster. */
export function differentClusters(endpoints: readonly string[]): LatchkeyError {
  const named = endpoints.join(' and ')
  return new LatchkeyError('ERR_USAGE', `${named} are of different clusters of etcd`, {
    hint: 'join only the members of one cluster by commas, and name each cluster with an --etcd of its own',
  })
}

/**
 * Sees to it that two that were named apart, and say that they are of one cluster, are. The ids come
 * from the token and the peer URLs that an etcd was set up with, so two that were set up with the same
 * have the same; then one would be taken for the other, and never be read.
 *
 * @throws `ERR_USAGE` naming two endpoints at which the same member seems to answer.
 */
export function requireTold(
  known: readonly AnsweringMember[],
  members: readonly AnsweringMember[],
): void {
  for (const { endpoint, memberId } of members) {
    const same = known.find((it) => it.memberId === memberId && it.endpoint !== endpoint)
    if (same === undefined) continue
    throw new LatchkeyError(
      'ERR_USAGE',
      `${same.endpoint} and ${endpoint} are one member of etcd, or two that cannot be told apart`,
      {
        hint: 'name a member by one address; two etcds that were set up with the same --initial-cluster-token and peer URLs have the same ids, and must be looked at one by one',
      },
    )
  }
}
