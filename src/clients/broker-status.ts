import {
  credentials,
  makeClientConstructor,
  Metadata,
  status,
  type Client,
  type ClientReadableStream,
  type ServiceError,
} from '@grpc/grpc-js'
import { isIP } from 'node:net'
import { printHostPort, type HostPort } from '../base/address.ts'
import { isLatchkeyError, LatchkeyError } from '../base/errors.ts'
import { readFields, WireMessage, type WireField } from '../base/protobuf.ts'
import type { SecretBytes } from '../base/secret.ts'

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

/** Whom to ask, and as whom. */
export interface BrokerStatusQuestion {
  readonly broker: HostPort
  /** Name in the broker's certificate. */
  readonly serverName: string
  /** Certificate authorities, PEM; no others are trusted. */
  readonly ca: Buffer
  readonly token: SecretBytes
  readonly namespace: string
  readonly secret: string
  readonly timeoutMs: number
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
const Connection = makeClientConstructor({}, 'latchkey.v1.Broker')

/**
 * Asks one broker which of its pods have which version of a secret.
 *
 * @throws `ERR_TOKEN_REFUSED`, `ERR_FORBIDDEN`, `ERR_BROKER_UNREACHABLE`, `ERR_MESSAGE_INVALID`.
 */
export async function askBrokerStatus(question: BrokerStatusQuestion): Promise<BrokerStatus> {
  const name = question.serverName
  const client: Client = new Connection(
    printHostPort(question.broker),
    credentials.createSsl(question.ca),
    {
      // A proxy from the environment would be told whom we call.
      'grpc.enable_http_proxy': 0,
      ...(isIP(name) === 0 ? { 'grpc.ssl_target_name_override': name } : {}),
    },
  )
  try {
    const metadata = new Metadata()
    const token = Buffer.from(question.token.expose()).toString('latin1').trim()
    metadata.set('authorization', `Bearer ${token}`)
    const request = new WireMessage().text(1, question.namespace).text(2, question.secret).encode()
    const asItIs = (bytes: Buffer): Buffer => bytes
    const call: ClientReadableStream<Buffer> = client.makeServerStreamRequest(
      path,
      asItIs,
      asItIs,
      request,
      metadata,
      { deadline: Date.now() + question.timeoutMs },
    )
    return await collect(call)
  } catch (error) {
    throw translated(error, question.broker)
  } finally {
    client.close()
  }
}

async function collect(call: AsyncIterable<Buffer>): Promise<BrokerStatus> {
  let replica = { replica: '', version: '' }
  const pods: BrokerPodStatus[] = []
  for await (const message of call) {
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

function translated(error: unknown, broker: HostPort): LatchkeyError {
  if (isLatchkeyError(error)) return error
  const code = (error as Partial<ServiceError>).code
  if (code === status.UNAUTHENTICATED) {
    return new LatchkeyError('ERR_TOKEN_REFUSED', 'the broker does not accept the token', {
      hint: 'make one with: kubectl create token ACCOUNT -n NAMESPACE --audience latchkey',
    })
  }
  if (code === status.PERMISSION_DENIED) {
    return new LatchkeyError('ERR_FORBIDDEN', 'the token may not list the pods of the namespace')
  }
  return new LatchkeyError(
    'ERR_BROKER_UNREACHABLE',
    `the broker ${printHostPort(broker)} did not answer (${code === undefined ? 'unknown error' : status[code]})`,
    { cause: error },
  )
}
