import { fromBase64Url } from '../base/bytes.ts'
import { digestPattern, isGeneration, keyringIdPattern, maxAncestors } from './lineage.ts'
import { keyStates, parseKeyId } from './key.ts'
import type { DocumentBody, KeyRecord, Slot } from './document.ts'
import type { SlotParams } from './root.ts'

const slotIdPattern = keyringIdPattern
const timePattern = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/
const typePattern = /^[a-z][a-z0-9-]{0,31}$/
const paramPattern = /^[a-z][A-Za-z0-9]{0,31}$/
const printablePattern = /^[\x20-\x7e]{0,1024}$/
/** Most slots that a document holds. */
export const maxSlots = 16

/** Most keys that a document holds, tombstones included. */
export const maxKeys = 4096

/** What a cluster id looks like: 1 to 63 letters, digits, `.`, `_`, `-`, first and last a letter or digit. */
export const clusterIdPattern = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/

/** Thrown and caught in this file only: what is wrong, as a predicate of the document. */
class Flaw extends Error {}

/** Reads a body line. Returns what is wrong with it as a predicate (`has …`) when it is not one. */
export function parseBody(line: string): DocumentBody | string {
  try {
    return readBody(JSON.parse(line))
  } catch (error) {
    if (error instanceof Flaw) return error.message
    if (error instanceof SyntaxError) return 'has a body that is not JSON'
    throw error
  }
}

function readBody(value: unknown): DocumentBody {
  const body = object(value, 'body', [
    'keyringId',
    'clusterId',
    'generation',
    'createdAt',
    'ancestors',
    'slots',
    'keys',
  ])
  const keys = list(body['keys'], 'keys', maxKeys).map(readKey)
  const ids = new Set(keys.map((key) => key.id))
  if (ids.size !== keys.length) throw new Flaw('has two keys of one id')
  const count = (state: string): number => keys.filter((key) => key.state === state).length
  if (count('active') !== 1) throw new Flaw('does not have exactly one active key')
  if (count('staged') > 1) throw new Flaw('has more than one staged key')
  const slots = list(body['slots'], 'slots', maxSlots).map(readSlot)
  if (slots.length === 0) throw new Flaw('has no slots')
  if (new Set(slots.map((slot) => slot.id)).size !== slots.length) {
    throw new Flaw('has two slots of one id')
  }
  return {
    keyringId: text(body['keyringId'], 'keyringId', keyringIdPattern),
    clusterId: text(body['clusterId'], 'clusterId', clusterIdPattern),
    generation: generation(body['generation']),
    createdAt: text(body['createdAt'], 'createdAt', timePattern),
    ancestors: list(body['ancestors'], 'ancestors', maxAncestors).map((digest, index) =>
      text(digest, `ancestors[${index}]`, digestPattern),
    ),
    slots,
    keys,
  }
}

function readSlot(value: unknown, index: number): Slot {
  const at = `slots[${index}]`
  const slot = object(value, at, ['id', 'type', 'createdAt', 'params', 'wrapped'])
  return {
    id: text(slot['id'], `${at}.id`, slotIdPattern),
    type: text(slot['type'], `${at}.type`, typePattern),
    createdAt: text(slot['createdAt'], `${at}.createdAt`, timePattern),
    params: readParams(slot['params'], `${at}.params`),
    wrapped: bytes(slot['wrapped'], `${at}.wrapped`),
  }
}

function readParams(value: unknown, at: string): SlotParams {
  const params = object(value, at, undefined)
  for (const [name, param] of Object.entries(params)) {
    const good =
      paramPattern.test(name) &&
      (typeof param === 'string' ? printablePattern.test(param) : Number.isSafeInteger(param))
    if (!good) throw new Flaw(`has a bad entry in ${at}`)
  }
  return params as SlotParams
}

function readKey(value: unknown, index: number): KeyRecord {
  const at = `keys[${index}]`
  const destroyed = isObject(value) && value['state'] === 'destroyed'
  const fields = ['id', 'clusterId', 'state', 'createdAt', 'changedAt']
  const key = object(value, at, destroyed ? fields : [...fields, 'wrapped'])
  const id = text(key['id'], `${at}.id`, /^/)
  if (parseKeyId(id) === undefined) throw new Flaw(`has a bad ${at}.id`)
  const state = keyStates.find((name) => name === key['state'])
  if (state === undefined) throw new Flaw(`has a bad ${at}.state`)
  return {
    id,
    clusterId: text(key['clusterId'], `${at}.clusterId`, clusterIdPattern),
    state,
    createdAt: text(key['createdAt'], `${at}.createdAt`, timePattern),
    changedAt: text(key['changedAt'], `${at}.changedAt`, timePattern),
    wrapped: destroyed ? undefined : bytes(key['wrapped'], `${at}.wrapped`),
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function object(
  value: unknown,
  at: string,
  fields: readonly string[] | undefined,
): Record<string, unknown> {
  if (!isObject(value)) throw new Flaw(`has no object at ${at}`)
  if (fields !== undefined) {
    const names = Object.keys(value)
    if (names.length !== fields.length || !fields.every((field) => names.includes(field))) {
      throw new Flaw(`has missing or unknown fields in ${at}`)
    }
  }
  return value
}

function list(value: unknown, at: string, max: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > max)
    throw new Flaw(`has no list of up to ${max} at ${at}`)
  return value
}

function text(value: unknown, at: string, pattern: RegExp): string {
  if (typeof value !== 'string' || !pattern.test(value)) throw new Flaw(`has a bad ${at}`)
  return value
}

function generation(value: unknown): number {
  if (typeof value === 'number' && isGeneration(value)) return value
  throw new Flaw('has a bad generation')
}

function bytes(value: unknown, at: string): Uint8Array {
  const decoded = typeof value === 'string' ? fromBase64Url(value) : undefined
  if (decoded === undefined || decoded.byteLength > 4096) throw new Flaw(`has a bad ${at}`)
  return decoded
}
