import { age } from '../output.ts'
import type { Status } from './status.ts'

/** The status as lines of two columns. */
export function statusRows(status: Status, nowMs: number): readonly (readonly string[])[] {
  const { activeKey, stagedKey, formerKeys, rotation, nodes, snapshots } = status
  const aged = (id: string, since: string): string => `${id}, ${age(since, nowMs)}`
  return [
    ['keyring', `${status.keyring}, generation ${status.generation}`],
    ['cluster', status.clusterId],
    ['active key', aged(activeKey.id, activeKey.since)],
    ['staged key', stagedKey === null ? 'none' : aged(stagedKey.id, stagedKey.since)],
    [
      'former keys',
      `${formerKeys.superseded} superseded, ${formerKeys.retired} retired, ${formerKeys.destroyed} destroyed`,
    ],
    ['rotation', rotation === null ? 'none under way' : `begun ${age(rotation.since, nowMs)} ago`],
    ['nodes', nodes === null ? 'one, as the keyring is a directory' : nodesText(nodes)],
    [
      'snapshots',
      snapshots.total === 0
        ? 'none registered'
        : `${snapshots.total} registered, which need ${snapshots.keys} key(s)`,
    ],
  ]
}

function nodesText({ total, silent, behind }: NonNullable<Status['nodes']>): string {
  return `${total}, of which ${total - behind.length} current and ${total - silent.length} alive`
}
