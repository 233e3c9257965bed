import { fromUtf8, utf8 } from '../../base/bytes.ts'
import { LatchkeyError } from '../../base/errors.ts'
import { digestPattern, isGeneration } from '../lineage.ts'
import type { Acknowledgement } from '../members.ts'

// What lies in etcd under the prefix; see FORMAT.md, section 13.

/** The keys under `prefix`. */
export interface EtcdLayout {
  readonly keyring: string
  /** The document before the current one. */
  readonly previous: string
  readonly members: string
  readonly alive: string
  readonly acknowledged: string
}

/** The keys of a keyring whose prefix is `prefix`; the last three are prefixes of a node's name. */
export function etcdLayout(prefix: string): EtcdLayout {
  return {
    keyring: `${prefix}/keyring`,
    previous: `${prefix}/previous`,
    members: `${prefix}/members/`,
    alive: `${prefix}/alive/`,
    acknowledged: `${prefix}/acknowledged/`,
  }
}

/** That a node has joined. */
export interface MemberRecord {
  /** Random, kept beside the node's own copy: tells two nodes of one name apart. */
  readonly nodeId: string
  readonly joinedAt: string
}

/** What a node may be called: what Kubernetes takes as the name of a node. */
export const memberNamePattern = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/
const idPattern = /^[A-Za-z0-9_-]{22}$/
const timePattern = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/
const maxRecordBytes = 4_096

/** A record as JSON, fields in this order. */
export function encodeMember({ nodeId, joinedAt }: MemberRecord): Uint8Array {
  return utf8(JSON.stringify({ format: 1, nodeId, joinedAt }))
}

/** Inverse of {@link encodeMember}. Throws `ERR_MEMBER_INVALID`, naming `key`. */
export function parseMember(bytes: Uint8Array, key: string): MemberRecord {
  const { nodeId, joinedAt } = fieldsOf(bytes, key)
  if (matches(nodeId, idPattern) && matches(joinedAt, timePattern)) return { nodeId, joinedAt }
  throw invalid(key)
}

/** An acknowledgement as JSON, fields in this order. */
export function encodeAcknowledgement(acknowledged: Acknowledgement): Uint8Array {
  const { bootId, generation, digest, at } = acknowledged
  return utf8(JSON.stringify({ format: 1, bootId, generation, digest, at }))
}

/** Inverse of {@link encodeAcknowledgement}. Throws `ERR_MEMBER_INVALID`, naming `key`. */
export function parseAcknowledgement(bytes: Uint8Array, key: string): Acknowledgement {
  const { bootId, generation, digest, at } = fieldsOf(bytes, key)
  const known =
    matches(bootId, idPattern) &&
    typeof generation === 'number' &&
    isGeneration(generation) &&
    matches(digest, digestPattern) &&
    matches(at, timePattern)
  if (known) return { bootId, generation, digest, at }
  throw invalid(key)
}

/** Fields that a later release has added are passed over, so that nodes can be upgraded one by one. */
function fieldsOf(bytes: Uint8Array, key: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = bytes.byteLength > maxRecordBytes ? undefined : JSON.parse(fromUtf8(bytes) ?? '')
  } catch {
    throw invalid(key)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(key)
  const fields = value as Record<string, unknown>
  if (fields['format'] === 1) return fields
  throw invalid(key)
}

function matches(value: unknown, pattern: RegExp): value is string {
  return typeof value === 'string' && pattern.test(value)
}

function invalid(key: string): LatchkeyError {
  return new LatchkeyError('ERR_MEMBER_INVALID', `${key} in etcd is not a record of a node`, {
    hint: 'stop latchkey-kms on that node, take the node out with "latchkey keys nodes remove", and start it again: it joins anew',
  })
}
