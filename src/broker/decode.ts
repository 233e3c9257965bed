import { toBase64Url } from '../base/bytes.ts'
import { LatchkeyError } from '../base/errors.ts'
import { readFields, type WireField } from '../base/protobuf.ts'
import { isNamespaceName, isSecretKey, parseSecretReference } from '../secrets/reference.ts'
import {
  outcomes,
  protocolLimits,
  type AcknowledgementMessage,
  type ClientMessage,
  type OpenMessage,
  type RequestedSecret,
  type StatusQuestion,
} from './messages.ts'

// Every limit of broker.proto on what a client may say is checked here, once.

/**
 * Reads a `DeliverRequest`.
 *
 * @throws `ERR_MESSAGE_INVALID`, naming the field that breaks a rule, never its content.
 */
export function decodeClientMessage(message: Uint8Array): ClientMessage {
  let decoded: ClientMessage = { kind: 'unknown' }
  for (const field of readFields(message)) {
    if (field.number === 1) decoded = decodeOpen(bytesOf(field))
    else if (field.number === 2) decoded = decodeTokenRefresh(bytesOf(field))
    else if (field.number === 3) decoded = decodeAcknowledgement(bytesOf(field))
  }
  return decoded
}

/**
 * Reads a `DeliveryStatusRequest`.
 *
 * @throws `ERR_MESSAGE_INVALID`.
 */
export function decodeStatusQuestion(message: Uint8Array): StatusQuestion {
  let namespace = ''
  let secret = ''
  for (const field of readFields(message)) {
    if (field.number === 1) namespace = textOf(field, 63)
    else if (field.number === 2) secret = secretOf(field)
  }
  if (!isNamespaceName(namespace)) throw invalid('namespace')
  if (secret === '') throw invalid('secret')
  return { namespace, secret }
}

function decodeOpen(message: Uint8Array): OpenMessage {
  let version = 0
  let token: Uint8Array = new Uint8Array()
  let instance: Uint8Array = new Uint8Array()
  let planDigest = ''
  let client = ''
  const references: RequestedSecret[] = []
  for (const field of readFields(message)) {
    if (field.number === 1) version = numberOf(field)
    else if (field.number === 2) token = bytesOf(field)
    else if (field.number === 3) references.push(decodeReference(bytesOf(field)))
    else if (field.number === 4) instance = bytesOf(field)
    else if (field.number === 5) planDigest = textOf(field, 71)
    else if (field.number === 6) client = textOf(field, protocolLimits.clientCharacters)
    if (references.length > protocolLimits.references) throw invalid('references')
  }
  if (version === 0) throw invalid('protocol_version')
  if (references.length === 0) throw invalid('references')
  if (new Set(references.map(({ secret }) => secret)).size < references.length) {
    throw invalid('references')
  }
  if (instance.byteLength !== protocolLimits.instanceBytes) throw invalid('instance')
  if (planDigest !== '' && !/^sha256:[0-9a-f]{64}$/.test(planDigest)) throw invalid('plan_digest')
  return {
    kind: 'open',
    protocolVersion: version,
    token: tokenOf(token),
    references,
    instance: toBase64Url(instance),
    planDigest,
    client,
  }
}

function decodeReference(message: Uint8Array): RequestedSecret {
  let secret = ''
  const keys = new Set<string>()
  for (const field of readFields(message)) {
    if (field.number === 1) secret = secretOf(field)
    else if (field.number === 2) {
      const key = textOf(field, 253)
      if (!isSecretKey(key) || keys.has(key)) throw invalid('keys')
      keys.add(key)
      if (keys.size > protocolLimits.keys) throw invalid('keys')
    }
  }
  if (secret === '') throw invalid('references.secret')
  return { secret, keys: [...keys] }
}

function decodeTokenRefresh(message: Uint8Array): ClientMessage {
  let token: Uint8Array = new Uint8Array()
  for (const field of readFields(message)) if (field.number === 1) token = bytesOf(field)
  return { kind: 'token-refresh', token: tokenOf(token) }
}

function decodeAcknowledgement(message: Uint8Array): AcknowledgementMessage {
  let sequence = 0
  let version = ''
  let outcome = 0
  let secret = ''
  for (const field of readFields(message)) {
    if (field.number === 1) sequence = numberOf(field)
    else if (field.number === 2) version = textOf(field, protocolLimits.versionCharacters)
    else if (field.number === 3) outcome = numberOf(field)
    else if (field.number === 4) secret = secretOf(field)
  }
  if (sequence === 0) throw invalid('sequence')
  // A value that came after this release counts as unspecified.
  return {
    kind: 'acknowledgement',
    sequence,
    version,
    outcome: outcomes[outcome] ?? 'unspecified',
    secret,
  }
}

function tokenOf(bytes: Uint8Array): Uint8Array {
  const { byteLength } = bytes
  if (byteLength === 0 || byteLength > protocolLimits.tokenBytes) throw invalid('token')
  // Printable ASCII only: nothing that could break out of a header or a log.
  if (bytes.some((byte) => byte < 0x21 || byte > 0x7e)) throw invalid('token')
  return bytes
}

function secretOf(field: WireField): string {
  const text = textOf(field, 286)
  if (text === '') return text
  try {
    parseSecretReference(text)
  } catch {
    throw invalid('secret')
  }
  return text
}

function textOf(field: WireField, maxCharacters: number): string {
  const bytes = bytesOf(field)
  if (bytes.byteLength > maxCharacters) throw invalid(`field ${field.number}`)
  if (bytes.some((byte) => byte < 0x20 || byte > 0x7e)) throw invalid(`field ${field.number}`)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

function bytesOf(field: WireField): Uint8Array {
  if (field.kind === 'bytes') return field.value
  throw invalid(`field ${field.number}`)
}

function numberOf(field: WireField): number {
  if (field.kind === 'varint' && Number.isSafeInteger(field.value)) return field.value
  throw invalid(`field ${field.number}`)
}

function invalid(field: string): LatchkeyError {
  return new LatchkeyError(
    'ERR_MESSAGE_INVALID',
    `${field} of the message breaks a rule of the protocol`,
  )
}
