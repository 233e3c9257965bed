import {
  credentials,
  Metadata,
  status,
  type ClientDuplexStream,
  type ServiceError,
} from '@grpc/grpc-js'
import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import type { ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'
import { until } from '../e2e/support/until.ts'
import type { TestBroker } from './broker.ts'
import { loopClock } from './loop-clock.ts'

/** An item of a set, with its values as text. */
export interface ReceivedItem {
  readonly secret: string
  readonly status: string
  readonly version: string
  readonly values: Readonly<Record<string, string>>
  readonly reason: string
}

/** A set as it came. */
export interface ReceivedSet {
  readonly sequence: number
  readonly version: string
  readonly items: readonly ReceivedItem[]
  /** When it came, by {@link loopClock}. */
  readonly atMs: number
}

/** A client's side of a stream, kept as it came. */
export interface TestStream {
  readonly sets: readonly ReceivedSet[]
  readonly heartbeats: readonly { readonly staleMs: number; readonly sequence: number }[]
  readonly bundles: readonly string[]
  readonly accepted: () =>
    { readonly replica: string; readonly heartbeat_interval_ms: number } | undefined
  readonly goodbye: () =>
    { readonly reason: string; readonly min: number; readonly max: number } | undefined
  /** gRPC status by name, once the call has ended. */
  readonly ended: () => string | undefined
  /** The newest set, as `NAME=STATUS key=value…`, for comparing at a glance. */
  readonly shown: () => string
  send(message: object): void
  acknowledge(outcome?: string): void
  refresh(token: string): void
  /** Stops reading, as a process does that hangs. */
  pause(): void
  resume(): void
  cancel(): void
}

type Constructor = new (
  address: string,
  credentials: grpc.ChannelCredentials,
  options: object,
) => grpc.Client & {
  Deliver(): ClientDuplexStream<object, Record<string, unknown>>
  DeliveryStatus(
    request: object,
    metadata: Metadata,
  ): grpc.ClientReadableStream<Record<string, unknown>>
}
const definition = loadSync(
  new URL('../../proto/latchkey/v1/broker.proto', import.meta.url).pathname,
  {
    longs: Number,
    enums: String,
    defaults: true,
    keepCase: true,
    oneofs: true,
  },
)
const loaded = grpc.loadPackageDefinition(definition) as unknown as {
  latchkey: { v1: { Broker: Constructor } }
}

/** A client with a connection of its own. */
export function connectBroker(
  t: ExecutionContext,
  { host, port, ca }: Pick<TestBroker, 'host' | 'port' | 'ca'>,
): InstanceType<Constructor> {
  const client = new loaded.latchkey.v1.Broker(
    `${host}:${port}`,
    credentials.createSsl(Buffer.from(ca)),
    {
      'grpc.max_receive_message_length': 17 * 1_048_576,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.ssl_target_name_override': 'localhost',
    },
  )
  t.teardown(() => {
    client.close()
  })
  return client
}

/** Opens a stream. */
export function openStream(
  t: ExecutionContext,
  broker: Pick<TestBroker, 'host' | 'port' | 'ca'>,
  open: {
    readonly token: string
    readonly references: readonly (
      string | { readonly secret: string; readonly keys: readonly string[] }
    )[]
    readonly instance?: Buffer
    readonly fields?: object
    /** Sends nothing at first. */
    readonly silent?: boolean
  },
): TestStream {
  const call = connectBroker(t, broker).Deliver()
  const sets: ReceivedSet[] = []
  const heartbeats: { staleMs: number; sequence: number }[] = []
  const bundles: string[] = []
  let accepted: Record<string, unknown> | undefined
  let goodbye: Record<string, unknown> | undefined
  let ended: string | undefined
  call.on('data', (message: Record<string, Record<string, unknown>>) => {
    if (message['accepted']) accepted = message['accepted']
    if (message['goodbye']) goodbye = message['goodbye']
    if (message['ca_bundle']) bundles.push((message['ca_bundle']['pem'] as Buffer).toString())
    if (message['heartbeat']) {
      const { stale_ms: staleMs, sequence } = message['heartbeat'] as Record<string, number>
      heartbeats.push({ staleMs: staleMs ?? 0, sequence: sequence ?? 0 })
    }
    if (message['secret_set']) sets.push(receivedSet(message['secret_set']))
  })
  call.on('error', (error: ServiceError) => {
    ended ??= status[error.code]
  })
  call.on('end', () => setImmediate(() => (ended ??= 'OK')))
  t.teardown(() => {
    call.cancel()
  })
  const references = open.references.map((it) => (typeof it === 'string' ? { secret: it } : it))
  const instance = open.instance ?? randomBytes(16)
  const message = {
    protocol_version: 1,
    token: Buffer.from(open.token),
    references,
    instance,
    ...open.fields,
  }
  if (open.silent !== true) call.write({ open: message })
  const stream: TestStream = {
    sets,
    heartbeats,
    bundles,
    accepted: () => accepted as ReturnType<TestStream['accepted']>,
    goodbye: () =>
      goodbye && {
        reason: String(goodbye['reason']).replace('GOODBYE_REASON_', ''),
        min: Number(goodbye['reconnect_min_ms']),
        max: Number(goodbye['reconnect_max_ms']),
      },
    ended: () => ended,
    shown: () => showSet(sets.at(-1)),
    send: (it) => call.write(it),
    acknowledge: (outcome = 'OUTCOME_WRITTEN') => {
      const { sequence, version } = sets.at(-1) ?? { sequence: 0, version: '' }
      call.write({ acknowledgement: { sequence, version, outcome } })
    },
    refresh: (token) => call.write({ token_refresh: { token: Buffer.from(token) } }),
    pause: () => {
      call.pause()
    },
    resume: () => {
      call.resume()
    },
    cancel: () => {
      call.cancel()
    },
  }
  return stream
}

/** Waits until the newest set shows as `expected`; returns the set. */
export async function shows(
  t: ExecutionContext,
  stream: TestStream,
  expected: string,
  timeoutMs = 40_000,
): Promise<ReceivedSet> {
  await until(`the set ${expected}`, () => stream.shown() === expected, {
    timeoutMs,
    everyMs: 2,
  }).catch(() => undefined)
  t.is(stream.shown(), expected)
  return stream.sets.at(-1) ?? t.fail('no set')
}

/** Waits until the stream has ended; returns reason and status. */
export async function farewell(t: ExecutionContext, stream: TestStream): Promise<string> {
  await until('the stream to end', () => stream.ended() !== undefined, {
    timeoutMs: 40_000,
    everyMs: 2,
  })
  t.truthy(stream.ended())
  return `${stream.goodbye()?.reason ?? 'none'} ${stream.ended() ?? ''}`
}

function receivedSet(message: Record<string, unknown>): ReceivedSet {
  const items = message['items'] as readonly Record<string, unknown>[]
  return {
    sequence: Number(message['sequence']),
    version: String(message['version']),
    atMs: loopClock.monotonicMs(),
    items: items.map((item) => ({
      secret: String(item['secret']),
      status: String(item['status']).replace('STATUS_', ''),
      version: String(item['version']),
      reason: String(item['unavailable_reason']).replace('UNAVAILABLE_REASON_', ''),
      values: Object.fromEntries(
        (item['entries'] as readonly { key: string; value: Buffer }[]).map(({ key, value }) => [
          key,
          value.toString('latin1'),
        ]),
      ),
    })),
  }
}

function showSet(set: ReceivedSet | undefined): string {
  if (set === undefined) return 'nothing'
  return set.items
    .map(({ secret, status: state, values, reason }) => {
      const rest = Object.entries(values).map(([key, value]) => ` ${key}=${value}`)
      return `${secret}=${state}${reason === 'UNSPECIFIED' ? '' : `(${reason})`}${rest.join('')}`
    })
    .join(', ')
}
