import { readFields, WireMessage } from '../../base/protobuf.ts'
import { bytesOf, fieldsOf, headerRevision, numberOf, textOf } from './codec.ts'
import type { EtcdConnections } from './connections.ts'
import type { EtcdAlarm, EtcdMemberStatus } from './messages.ts'

const timeoutMs = 5_000
const alarmNames: Readonly<Record<number, EtcdAlarm['alarm']>> = { 1: 'NOSPACE', 2: 'CORRUPT' }

/**
 * Asks each member that the client knows for its status. One that does not answer is told as such.
 *
 * @throws what listing the members throws when none answers.
 */
export async function readStatuses(
  connections: EtcdConnections,
  signal: AbortSignal | undefined,
): Promise<readonly EtcdMemberStatus[]> {
  const names = await memberNames(connections, signal)
  return await Promise.all(
    connections.names.map((endpoint, index) =>
      readStatus(connections, { endpoint, index, names, signal }),
    ),
  )
}

async function readStatus(
  connections: EtcdConnections,
  member: {
    readonly endpoint: string
    readonly index: number
    readonly names: ReadonlyMap<number, string>
    readonly signal: AbortSignal | undefined
  },
): Promise<EtcdMemberStatus> {
  const { endpoint, index, names, signal } = member
  try {
    const limits = { timeoutMs, signal }
    const answer = await connections.unaryAt(index, 'Maintenance/Status', Buffer.alloc(0), limits)
    const fields = fieldsOf(answer)
    // Ids are 64 bits wide and read inexactly: good for telling two members apart, not for printing.
    const id = numberOf(fieldsOf(bytesOf(fields.get(1))).get(2))
    const leader = numberOf(fields.get(4))
    return {
      endpoint,
      name: names.get(id) ?? '',
      version: textOf(fields.get(2)),
      dbSize: numberOf(fields.get(3)),
      dbSizeInUse: numberOf(fields.get(9)),
      revision: headerRevision(fields),
      leader: leader !== 0 && leader === id,
      hasLeader: leader !== 0,
      learner: numberOf(fields.get(10)) === 1,
    }
  } catch (error) {
    signal?.throwIfAborted()
    return {
      endpoint,
      error,
      name: '',
      version: '',
      dbSize: 0,
      dbSizeInUse: 0,
      revision: 0,
      leader: false,
      hasLeader: false,
      learner: false,
    }
  }
}

async function memberNames(
  connections: EtcdConnections,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<number, string>> {
  const limits = { kind: 'read', timeoutMs, signal } as const
  const answer = await connections.unary('Cluster/MemberList', Buffer.alloc(0), limits)
  const names = new Map<number, string>()
  for (const field of readFields(answer)) {
    if (field.number !== 2) continue
    const member = fieldsOf(bytesOf(field))
    names.set(numberOf(member.get(1)), textOf(member.get(2)))
  }
  return names
}

/** The alarms that are raised; none is what should be. Throws as every read. */
export async function readAlarms(
  connections: EtcdConnections,
  signal: AbortSignal | undefined,
): Promise<readonly EtcdAlarm[]> {
  const names = await memberNames(connections, signal)
  const limits = { kind: 'read', timeoutMs, signal } as const
  const answer = await connections.unary('Maintenance/Alarm', new WireMessage().encode(), limits)
  const alarms: EtcdAlarm[] = []
  for (const field of readFields(answer)) {
    if (field.number !== 2) continue
    const fields = fieldsOf(bytesOf(field))
    alarms.push({
      member: names.get(numberOf(fields.get(1))) ?? '',
      alarm: alarmNames[numberOf(fields.get(2))] ?? 'UNKNOWN',
    })
  }
  return alarms
}

/** A number that two members have in common exactly when they are of one cluster. */
export async function readClusterId(
  connections: EtcdConnections,
  signal: AbortSignal | undefined,
): Promise<number> {
  const limits = { kind: 'read', timeoutMs, signal } as const
  const answer = await connections.unary('Cluster/MemberList', Buffer.alloc(0), limits)
  return numberOf(fieldsOf(bytesOf(fieldsOf(answer).get(1))).get(1))
}
