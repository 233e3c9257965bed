import { fromUtf8 } from '../../base/bytes.ts'
import { isLatchkeyError } from '../../base/errors.ts'
import { readFields, type WireField } from '../../base/protobuf.ts'
import { SecretBytes } from '../../base/secret.ts'
import { isKey } from '../../injection/fields.ts'
import type { KeyValue } from '../render/formats.ts'
import { goodbyeReasons, unavailableReasons } from './messages.ts'
import type { Accepted, BrokerMessage, Goodbye, ItemStatus, SetItem } from './messages.ts'
import { malformed } from './protocol-error.ts'

const maxItems = 128
const maxEntries = 10_000
const maxValueBytes = 1024 * 1024
const maxBundleBytes = 128 * 1024

/**
 * Reads a `DeliverResponse`. Values are copied out, so the caller can wipe `message`.
 *
 * @throws `ERR_BROKER_PROTOCOL` for what breaks a rule of broker.proto, above all a key that could
 * be no file name.
 */
export function decodeMessage(message: Uint8Array): BrokerMessage {
  try {
    let decoded: BrokerMessage = { kind: 'unknown' }
    for (const field of readFields(message)) {
      if (field.number <= 5) decoded = decodeMember(field.number, bytesOf(field))
    }
    return decoded
  } catch (error) {
    if (!isLatchkeyError(error, 'ERR_MESSAGE_INVALID')) throw error
    throw malformed('it is not protobuf', error)
  }
}

function decodeMember(number: number, bytes: Uint8Array): BrokerMessage {
  switch (number) {
    case 1:
      return decodeAccepted(bytes)
    case 2:
      return decodeBundle(bytes)
    case 3:
      return decodeSet(bytes)
    case 4: {
      const fields = collect(bytes)
      return { kind: 'heartbeat', staleMs: fields.number(1), sequence: fields.number(2) }
    }
    default:
      return decodeGoodbye(bytes)
  }
}

function decodeAccepted(bytes: Uint8Array): Accepted {
  const fields = collect(bytes)
  const heartbeatIntervalMs = fields.number(2)
  if (heartbeatIntervalMs < 1000 || heartbeatIntervalMs > 60_000) {
    throw malformed('its heartbeat interval is not 1 to 60 seconds')
  }
  return {
    kind: 'accepted',
    protocolVersion: fields.number(1),
    heartbeatIntervalMs,
    replica: printable(fields.text(3)),
  }
}

function decodeBundle(bytes: Uint8Array): BrokerMessage {
  const pem = collect(bytes).text(1)
  if (pem.length > maxBundleBytes) throw malformed('its certificate bundle is too long')
  return { kind: 'ca-bundle', pem }
}

function decodeSet(bytes: Uint8Array): BrokerMessage {
  const items: SetItem[] = []
  let sequence = 0
  let version = ''
  try {
    for (const field of readFields(bytes)) {
      if (field.number === 1) sequence = numberOf(field)
      else if (field.number === 2) version = textOf(field)
      else if (field.number === 3) items.push(decodeItem(bytesOf(field)))
      if (items.length > maxItems) throw malformed('its set has too many items')
    }
    if (sequence === 0) throw malformed('its set has no sequence number')
    if (!/^[A-Za-z0-9_-]{1,64}$/.test(version)) throw malformed('its set has no valid version')
    return { kind: 'secret-set', sequence, version, items }
  } catch (error) {
    for (const { entries } of items) wipe(entries)
    throw error
  }
}

const statuses: readonly ItemStatus[] = [
  'unavailable',
  'ready',
  'denied',
  'not-found',
  'unavailable',
]

function decodeItem(bytes: Uint8Array): SetItem {
  const entries: KeyValue[] = []
  const keys = new Set<string>()
  let [secret, status, version, reason] = ['', 0, '', 0]
  try {
    for (const field of readFields(bytes)) {
      if (field.number === 1) secret = textOf(field)
      else if (field.number === 2) status = numberOf(field)
      else if (field.number === 3) version = textOf(field)
      else if (field.number === 4) entries.push(decodeEntry(bytesOf(field), keys))
      else if (field.number === 5) reason = numberOf(field)
      if (entries.length > maxEntries) throw malformed('an item has too many entries')
    }
    const known = statuses[status] ?? 'unavailable'
    if (known !== 'ready' && entries.length > 0) {
      throw malformed('an item that is not ready has entries')
    }
    const unavailableReason = unavailableReasons[reason] ?? 'unspecified'
    return { secret, status: known, version, entries, unavailableReason }
  } catch (error) {
    wipe(entries)
    throw error
  }
}

function decodeEntry(bytes: Uint8Array, keys: Set<string>): KeyValue {
  const fields = collect(bytes)
  const key = fields.text(1)
  const value = fields.bytes(2)
  if (!isKey(key)) throw malformed('a key is not a valid one')
  if (keys.has(key)) throw malformed('a key comes twice')
  if (value.byteLength > maxValueBytes) throw malformed('a value is too long')
  keys.add(key)
  return { key, value: SecretBytes.copyOf(value) }
}

function decodeGoodbye(bytes: Uint8Array): Goodbye {
  const fields = collect(bytes)
  return {
    kind: 'goodbye',
    reason: goodbyeReasons[fields.number(1)] ?? 'unspecified',
    reconnectMinMs: Math.min(fields.number(2), 600_000),
    reconnectMaxMs: Math.min(fields.number(3), 600_000),
  }
}

/** The last value of each field; of scalars alone. */
function collect(message: Uint8Array): {
  number(field: number): number
  text(field: number): string
  bytes(field: number): Uint8Array
} {
  const values = new Map<number, WireField>()
  for (const field of readFields(message)) values.set(field.number, field)
  const zero = { number: 0, kind: 'varint', value: 0 } as const
  const empty = { number: 0, kind: 'bytes', value: new Uint8Array() } as const
  return {
    number: (number) => numberOf(values.get(number) ?? zero),
    text: (number) => textOf(values.get(number) ?? empty),
    bytes: (number) => bytesOf(values.get(number) ?? empty),
  }
}

function numberOf(field: WireField): number {
  if (field.kind !== 'varint') throw malformed('a field has the wrong type')
  if (!Number.isSafeInteger(field.value)) throw malformed('a number is too large')
  return field.value
}

function bytesOf(field: WireField): Uint8Array {
  if (field.kind !== 'bytes') throw malformed('a field has the wrong type')
  return field.value
}

function textOf(field: WireField): string {
  const text = fromUtf8(bytesOf(field))
  if (text === undefined) throw malformed('a text is not UTF-8')
  return text
}

/** What of a peer's text may be logged. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 64)
}

function wipe(entries: readonly KeyValue[]): void {
  for (const { value } of entries) value[Symbol.dispose]()
}
