import { fromUtf8, utf8 } from '../../base/bytes.ts'
import { LatchkeyError } from '../../base/errors.ts'
import { maxAncestors, type LineageMark } from '../lineage.ts'

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
    hint: 'it records the newest keyring this node has used: make sure that the keyring is the newest, then remove this file',
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
  if (typeof keyringId !== 'string' || typeof digest !== 'string') return undefined
  if (typeof generation !== 'number' || !Number.isSafeInteger(generation)) return undefined
  if (!Array.isArray(ancestors) || ancestors.length > maxAncestors) return undefined
  if (!ancestors.every((ancestor) => typeof ancestor === 'string')) return undefined
  return { keyringId, generation, digest, ancestors }
}
