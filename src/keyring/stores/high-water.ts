import { fromUtf8, utf8 } from '../../base/bytes.ts'
import { LatchkeyError } from '../../base/errors.ts'
import {
  digestPattern,
  isGeneration,
  keyringIdPattern,
  maxAncestors,
  type LineageMark,
} from '../lineage.ts'

/** The mark as one line of JSON, fields in this order. */
export function encodeHighWater(mark: LineageMark): Uint8Array {
  const { keyringId, generation, digest, ancestors } = mark
  return utf8(`${JSON.stringify({ keyringId, generation, digest, ancestors })}\n`)
}

/** Inverse of {@link encodeHighWater}. Throws `ERR_HIGH_WATER_INVALID`, naming `path`. */
export function parseHighWater(bytes: Uint8Array, path: string): LineageMark {
  const mark = parseMark(fromUtf8(bytes))
  if (mark !== undefined && Buffer.from(encodeHighWater(mark)).equals(bytes)) return mark
  throw new LatchkeyError('ERR_HIGH_WATER_INVALID', `${path} is not a high-water file`, {
    hint: 'it records the newest keyring that this node has used: make sure that the keyring is the newest one, then remove this file',
  })
}

function parseMark(text: string | undefined): LineageMark | undefined {
  let value: unknown
  try {
    value = JSON.parse(text ?? '')
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { keyringId, generation, digest, ancestors } = value as Record<string, unknown>
  if (!isText(keyringId, keyringIdPattern) || !isText(digest, digestPattern)) return undefined
  if (typeof generation !== 'number' || !isGeneration(generation)) return undefined
  if (!Array.isArray(ancestors) || ancestors.length > maxAncestors) return undefined
  if (!ancestors.every((ancestor) => isText(ancestor, digestPattern))) return undefined
  return { keyringId, generation, digest, ancestors }
}

function isText(value: unknown, pattern: RegExp): value is string {
  return typeof value === 'string' && pattern.test(value)
}
