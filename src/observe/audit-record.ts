import { createHash, type KeyObject, sign, verify, createPublicKey } from 'node:crypto'
import { fromBase64Url, lengthPrefixed, toBase64Url } from '../base/bytes.ts'

// The line format of AUDIT.md beside this file.

/** Longest line, in bytes. */
export const maxLineBytes = 1_048_576

/** A place in a chain: the hash is that of the line's bytes. */
export interface AuditHead {
  readonly chain: string
  readonly seq: number
  readonly hash: string
}

/** Whether `value`, out of a line, is a head. */
export function isAuditHead(value: unknown): value is AuditHead {
  if (typeof value !== 'object' || value === null) return false
  const { chain, seq, hash } = value as Record<string, unknown>
  return typeof chain === 'string' && Number.isSafeInteger(seq) && typeof hash === 'string'
}

/** What every line has. */
export interface AuditLine {
  readonly chain: string
  readonly seq: number
  readonly time: string
  readonly prev: string
  readonly event: string
}

/** SHA-256 of a line without its line feed, base64url. */
export function hashLine(line: Uint8Array): string {
  return toBase64Url(createHash('sha256').update(line).digest())
}

/** A line as written, without its line feed. */
export function encodeLine(line: AuditLine, fields: object): Buffer {
  const { chain, seq, time, prev, event } = line
  return Buffer.from(JSON.stringify({ chain, seq, time, prev, event, ...fields }))
}

/** Reads what every line has; `undefined` when this is no line of an audit file. */
export function parseLine(
  line: Uint8Array,
): { readonly line: AuditLine; readonly fields: Readonly<Record<string, unknown>> } | undefined {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(line).toString('utf8'))
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const { chain, seq, time, prev, event, ...fields } = value as Record<string, unknown>
  const valid =
    typeof chain === 'string' &&
    /^[A-Za-z0-9_-]{22}$/.test(chain) &&
    typeof seq === 'number' &&
    Number.isSafeInteger(seq) &&
    seq >= 0 &&
    typeof time === 'string' &&
    typeof prev === 'string' &&
    typeof event === 'string'
  return valid ? { line: { chain, seq, time, prev, event }, fields } : undefined
}

/** Signs a checkpoint's place in its chain, and whether it is the last of an orderly end. */
export function signCheckpoint(line: AuditLine, key: KeyObject, end: CheckpointEnd): string {
  return toBase64Url(sign(null, signedBytes(line, end), key))
}

/** Whether `signature` is the checkpoint's, by the key whose 32 bytes are given in base64url. */
export function verifyCheckpoint(
  line: AuditLine,
  signature: unknown,
  by: { readonly key: string; readonly end: CheckpointEnd },
): boolean {
  const bytes = typeof signature === 'string' ? fromBase64Url(signature) : undefined
  const publicKey = importPublicKey(by.key)
  return (
    bytes !== undefined &&
    publicKey !== undefined &&
    verify(null, signedBytes(line, by.end), publicKey, bytes)
  )
}

/** Whether a checkpoint says that the chain ends with it. */
export type CheckpointEnd = 'goes-on' | 'final'

/** The 32 bytes of an Ed25519 key's public half, base64url. */
export function exportPublicKey(key: KeyObject): string {
  const { x } = createPublicKey(key).export({ format: 'jwk' })
  return x ?? ''
}

/** Inverse of {@link exportPublicKey}; `undefined` for what is no key. */
export function importPublicKey(text: string): KeyObject | undefined {
  if (fromBase64Url(text)?.byteLength !== 32) return undefined
  try {
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: text }, format: 'jwk' })
  } catch {
    return undefined
  }
}

function signedBytes({ chain, seq, time, prev }: AuditLine, end: CheckpointEnd): Uint8Array {
  const purpose = end === 'final' ? 'latchkey/audit/final/1' : 'latchkey/audit/checkpoint/1'
  return lengthPrefixed([purpose, chain, String(seq), time, prev])
}
