import { readFields, WireMessage, type WireField } from '../../base/protobuf.ts'
import {
  keyBytes,
  type Comparison,
  type EtcdEntry,
  type EtcdEvent,
  type EtcdKey,
  type Operation,
  type OperationAnswer,
  type RangeAnswer,
  type RangeQuery,
  type Transaction,
  type TransactionAnswer,
} from './messages.ts'

// Field numbers of etcd's api/etcdserverpb/rpc.proto and api/mvccpb/kv.proto, the v3 API.

/** `RangeRequest`. */
export function rangeRequest(key: EtcdKey, query: RangeQuery = {}): WireMessage {
  return new WireMessage()
    .bytes(1, keyBytes(key))
    .bytes(2, query.rangeEnd === undefined ? new Uint8Array() : keyBytes(query.rangeEnd))
    .varint(3, query.limit ?? 0)
    .varint(4, query.revision ?? 0)
    .varint(7, Number(query.serializable ?? false))
    .varint(8, Number(query.keysOnly ?? false))
    .varint(9, Number(query.countOnly ?? false))
}

/** `PutRequest`. */
export function putRequest(key: EtcdKey, value: Uint8Array, leaseId = 0): WireMessage {
  return new WireMessage().bytes(1, keyBytes(key)).bytes(2, value).varint(3, leaseId)
}

/** `DeleteRangeRequest`. */
export function deleteRequest(key: EtcdKey, rangeEnd: EtcdKey | undefined): WireMessage {
  const end = rangeEnd === undefined ? new Uint8Array() : keyBytes(rangeEnd)
  return new WireMessage().bytes(1, keyBytes(key)).bytes(2, end)
}

/** `TxnRequest`. */
export function transactionRequest({ compare, success, failure }: Transaction): WireMessage {
  const message = new WireMessage()
  for (const comparison of compare) message.item(1, comparisonMessage(comparison))
  for (const operation of success ?? []) message.item(2, operationMessage(operation))
  for (const operation of failure ?? []) message.item(3, operationMessage(operation))
  return message
}

const results = { '=': 0, '>': 1, '<': 2, '!=': 3 } as const
const targets = { version: 0, create: 1, mod: 2, value: 3 } as const

function comparisonMessage(comparison: Comparison): WireMessage {
  const message = new WireMessage()
    .varint(1, results[comparison.is])
    .varint(2, targets[comparison.target])
    .bytes(3, keyBytes(comparison.key))
  // A member of the oneof that is left out is read as 0, which is what it means.
  if (comparison.target === 'value') message.item(7, comparison.value)
  else message.varint(4 + targets[comparison.target], comparison.value)
  return comparison.rangeEnd === undefined
    ? message
    : message.bytes(64, keyBytes(comparison.rangeEnd))
}

function operationMessage(operation: Operation): WireMessage {
  if ('range' in operation) {
    return new WireMessage().item(1, rangeRequest(operation.range.key, operation.range))
  }
  if ('put' in operation) {
    const { key, value, leaseId } = operation.put
    return new WireMessage().item(2, putRequest(key, value, leaseId))
  }
  const { key, rangeEnd } = operation.delete
  return new WireMessage().item(3, deleteRequest(key, rangeEnd))
}

/** Fields of a message by their number; of one that comes again, the last. */
export function fieldsOf(message: Uint8Array): ReadonlyMap<number, WireField> {
  return new Map([...readFields(message)].map((field) => [field.number, field]))
}

/** A number, 0 when it is left out. Exact below 2^53. */
export function numberOf(field: WireField | undefined): number {
  return field?.kind === 'varint' ? field.value : 0
}

/** Bytes, none when they are left out: a view. */
export function bytesOf(field: WireField | undefined): Buffer {
  if (field?.kind !== 'bytes') return Buffer.alloc(0)
  const { buffer, byteOffset, byteLength } = field.value
  return Buffer.from(buffer, byteOffset, byteLength)
}

/** Printable ASCII: what comes from elsewhere must not steer a terminal. */
export function textOf(field: WireField | undefined): string {
  return printable(bytesOf(field).toString('latin1'))
}

/** `text` with whatever is not printable ASCII replaced, at most 300 characters. */
export function printable(text: string): string {
  return text.slice(0, 300).replaceAll(/[^\x20-\x7e]/g, '?')
}

/** `ResponseHeader.revision` of an answer whose header is field 1, as all are. */
export function headerRevision(answer: ReadonlyMap<number, WireField>): number {
  return numberOf(fieldsOf(bytesOf(answer.get(1))).get(3))
}

/** `RangeResponse`, and its first and last key as bytes. */
export function readRange(
  message: Uint8Array,
): RangeAnswer & { readonly firstKey: Buffer; readonly lastKey: Buffer } {
  const entries: EtcdEntry[] = []
  let firstKey: Buffer | undefined
  let lastKey: Buffer = Buffer.alloc(0)
  for (const field of readFields(message)) {
    if (field.number !== 2) continue
    const { entry, rawKey } = readEntry(bytesOf(field))
    entries.push(entry)
    firstKey ??= rawKey
    lastKey = rawKey
  }
  const fields = fieldsOf(message)
  return {
    entries,
    revision: headerRevision(fields),
    more: numberOf(fields.get(3)) === 1,
    count: numberOf(fields.get(4)),
    firstKey: firstKey ?? lastKey,
    lastKey,
  }
}

/** `mvccpb.KeyValue`. */
function readEntry(message: Uint8Array): { readonly entry: EtcdEntry; readonly rawKey: Buffer } {
  const fields = fieldsOf(message)
  const rawKey = bytesOf(fields.get(1))
  const entry = {
    key: rawKey.toString('utf8'),
    value: bytesOf(fields.get(5)),
    createRevision: numberOf(fields.get(2)),
    modRevision: numberOf(fields.get(3)),
    version: numberOf(fields.get(4)),
    leased: numberOf(fields.get(6)) !== 0,
  }
  return { entry, rawKey }
}

/** `TxnResponse`. */
export function readTransaction(message: Uint8Array): TransactionAnswer {
  const fields = fieldsOf(message)
  const answers: OperationAnswer[] = []
  for (const field of readFields(message)) {
    if (field.number === 3) answers.push(readOperationAnswer(bytesOf(field)))
  }
  return {
    succeeded: numberOf(fields.get(2)) === 1,
    revision: headerRevision(fields),
    answers,
  }
}

function readOperationAnswer(message: Uint8Array): OperationAnswer {
  const fields = fieldsOf(message)
  if (fields.has(1)) return { range: readRange(bytesOf(fields.get(1))) }
  if (fields.has(2)) return { put: true }
  return { deleted: numberOf(fieldsOf(bytesOf(fields.get(3))).get(2)) }
}

/** `WatchResponse`. */
export interface WatchMessage {
  readonly revision: number
  readonly created: boolean
  readonly canceled: boolean
  /** Why it was; may be empty all the same. */
  readonly cancelReason: string
  /** Not 0 when the revision to begin at was compacted away: the oldest that is left. */
  readonly compactRevision: number
  /** Whether the next message continues this one. */
  readonly fragment: boolean
  readonly events: readonly EtcdEvent[]
}

/** Reads a `WatchResponse`. */
export function readWatch(message: Uint8Array): WatchMessage {
  const fields = fieldsOf(message)
  const events: EtcdEvent[] = []
  for (const field of readFields(message)) {
    if (field.number !== 11) continue
    const event = fieldsOf(bytesOf(field))
    const type = numberOf(event.get(1)) === 1 ? 'delete' : 'put'
    events.push({ type, entry: readEntry(bytesOf(event.get(2))).entry })
  }
  return {
    revision: headerRevision(fields),
    created: numberOf(fields.get(3)) === 1,
    canceled: numberOf(fields.get(4)) === 1,
    cancelReason: textOf(fields.get(6)),
    compactRevision: numberOf(fields.get(5)),
    fragment: numberOf(fields.get(7)) === 1,
    events,
  }
}

/** `WatchRequest` with a `WatchCreateRequest`. */
export function watchRequest(
  key: EtcdKey,
  options: { readonly rangeEnd: EtcdKey | undefined; readonly fromRevision: number },
): WireMessage {
  const end = options.rangeEnd === undefined ? new Uint8Array() : keyBytes(options.rangeEnd)
  const create = new WireMessage()
    .bytes(1, keyBytes(key))
    .bytes(2, end)
    .varint(3, options.fromRevision)
    // Progress tells where to resume when nothing happens; fragments bound a message's size.
    .varint(4, 1)
    .varint(8, 1)
  return new WireMessage().item(1, create)
}
