import { LatchkeyError } from '../base/errors.ts'
import { readFields, WireMessage, type WireField } from '../base/protobuf.ts'
import { callBroker, type BrokerCall } from './broker-call.ts'

/** What one broker knows of one pod: `PodStatus` of broker.proto. */
export interface BrokerPodStatus {
  readonly podUid: string
  readonly podName: string
  readonly serviceAccount: string
  readonly nodeName: string
  readonly status: 'unspecified' | 'ready' | 'denied' | 'not-found' | 'unavailable'
  /** Whether the pod has acknowledged the newest content as written. */
  readonly current: boolean
  readonly outcome: string
  readonly staleMs: number
}

/** What one broker answers: `DeliveryStatus` of broker.proto. */
export interface BrokerStatus {
  readonly replica: string
  /** Keyed version of the whole secret; empty when this broker does not follow it. */
  readonly version: string
  readonly pods: readonly BrokerPodStatus[]
}

/** Whom to ask, what, and as whom. */
export interface BrokerStatusQuestion extends Omit<BrokerCall, 'path' | 'request'> {
  readonly namespace: string
  readonly secret: string
}

const path = '/latchkey.v1.Broker/DeliveryStatus'
const statuses = ['unspecified', 'ready', 'denied', 'not-found', 'unavailable'] as const
/** In the order of enum Outcome. */
const outcomes = [
  '',
  'written',
  'hook failed',
  'disk full',
  'volume read-only',
  'not renderable',
  'I/O error',
  'waits for restart',
] as const

/** Of gRPC's status codes those that have a meaning here, and the names of some others. */
const [permissionDenied, unauthenticated] = [7, 16]
const statusNames: Readonly<Record<number, string>> = {
  4: 'DEADLINE_EXCEEDED',
  8: 'RESOURCE_EXHAUSTED',
  12: 'UNIMPLEMENTED',
  13: 'INTERNAL',
  14: 'UNAVAILABLE',
}

/**
 * Asks one broker which of its pods have which version of a secret.
 *
 * @throws `ERR_TOKEN_REFUSED`, `ERR_FORBIDDEN`; what {@link callBroker} throws.
 */
export async function askBrokerStatus(question: BrokerStatusQuestion): Promise<BrokerStatus> {
  const { namespace, secret, ...call } = question
  const request = new WireMessage().text(1, namespace).text(2, secret).encode()
  const { status, messages } = await callBroker({ ...call, path, request })
  if (status !== 0) throw refusal(status)
  let replica = { replica: '', version: '' }
  const pods: BrokerPodStatus[] = []
  for (const message of messages) {
    for (const field of readFields(message)) {
      if (field.number === 1) replica = readReplica(bytesOf(field))
      else if (field.number === 2) pods.push(readPod(bytesOf(field)))
    }
  }
  return { ...replica, pods }
}

function readReplica(message: Uint8Array): { replica: string; version: string } {
  const fields = new Map([...readFields(message)].map((field) => [field.number, field]))
  return { replica: textOf(fields.get(1)), version: textOf(fields.get(2)) }
}

function readPod(message: Uint8Array): BrokerPodStatus {
  const fields = new Map([...readFields(message)].map((field) => [field.number, field]))
  return {
    podUid: textOf(fields.get(1)),
    podName: textOf(fields.get(2)),
    serviceAccount: textOf(fields.get(3)),
    nodeName: textOf(fields.get(4)),
    status: statuses[numberOf(fields.get(5))] ?? 'unspecified',
    current: numberOf(fields.get(8)) === 1,
    outcome: outcomes[numberOf(fields.get(9))] ?? '',
    staleMs: numberOf(fields.get(11)),
  }
}

function bytesOf(field: WireField | undefined): Uint8Array {
  return field?.kind === 'bytes' ? field.value : new Uint8Array()
}

/** Printable ASCII: what comes from elsewhere must not steer a terminal. */
function textOf(field: WireField | undefined): string {
  return Buffer.from(bytesOf(field))
    .toString('latin1')
    .replaceAll(/[^\x20-\x7e]/g, '?')
}

function numberOf(field: WireField | undefined): number {
  return field?.kind === 'varint' ? field.value : 0
}

function refusal(status: number): LatchkeyError {
  if (status === unauthenticated) {
    return new LatchkeyError('ERR_TOKEN_REFUSED', 'the broker does not accept the token', {
      hint: 'make one for its audience: kubectl create token ACCOUNT -n NAMESPACE --audience latchkey',
    })
  }
  if (status === permissionDenied) {
    return new LatchkeyError('ERR_FORBIDDEN', 'the token may not list the pods of the namespace', {
      hint: 'let its account list them, by ClusterRole view for example, or use another account',
    })
  }
  const name = statusNames[status] ?? `gRPC status ${status}`
  return new LatchkeyError('ERR_BROKER_UNREACHABLE', `the broker did not answer (${name})`)
}
