import {
  connectivityState,
  credentials,
  makeClientConstructor,
  Metadata,
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientReadableStream,
} from '@grpc/grpc-js'
import { isIP } from 'node:net'
import { checkServerIdentity } from 'node:tls'
import { printHostPort, type HostPort } from '../../base/address.ts'

/** What TLS needs, as PEM; `undefined` for plain connections. */
export interface TlsMaterial {
  readonly ca: Buffer | undefined
  readonly identity: { readonly cert: Buffer; readonly key: Buffer } | undefined
}

/** A connection to one member. */
export interface Endpoint {
  readonly name: string
  readonly client: Client
}

/** Largest answer, in bytes. A watch is cut into fragments well below, a range is asked in pages. */
const maxAnswerBytes = 32 << 20

const options = {
  // A proxy from the environment would be told whom we call.
  'grpc.enable_http_proxy': 0,
  'grpc.enable_retries': 0,
  'grpc.max_receive_message_length': maxAnswerBytes,
  'grpc.max_send_message_length': maxAnswerBytes,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.min_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 2_000,
  // Finds a peer that is gone without a word. etcd takes pings every five seconds, and none while idle.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 0,
}

const Connection = makeClientConstructor({}, 'etcdserverpb')
/** Messages are encoded and read by their own code. */
export const asItIs = (bytes: Buffer): Buffer => bytes
/** etcd then refuses, rather than keeps waiting, when the member sees no leader. */
export const withLeader = new Metadata()
withLeader.set('hasleader', 'true')

/** A connection to each address, made when it is first used. */
export function connect(addresses: readonly HostPort[], tls: TlsMaterial | undefined): Endpoint[] {
  return addresses.map((address) => {
    const name = printHostPort(address)
    const byAddress = tls !== undefined && isIP(address.host) !== 0
    return {
      name,
      client: new Connection(name, credentialsOf(tls, address.host), {
        ...options,
        ...(byAddress ? { 'grpc.ssl_target_name_override': 'etcd' } : {}),
      }),
    }
  })
}

/** A server name must be no address (RFC 6066); so there another one is sent and the address checked. */
function credentialsOf(tls: TlsMaterial | undefined, host: string): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure()
  const key = tls.identity?.key ?? null
  const cert = tls.identity?.cert ?? null
  return credentials.createSsl(tls.ca ?? null, key, cert, {
    checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
  })
}

/** The full name of a method, as gRPC has it. */
export function route(path: string): string {
  return `/etcdserverpb.${path}`
}

/** One call, one answer. Rejects as gRPC does, and when the signal is aborted. */
export async function callOnce(
  { client }: Endpoint,
  path: string,
  request: Buffer,
  limits: {
    readonly timeoutMs: number
    readonly signal: AbortSignal | undefined
    readonly metadata?: Metadata
  },
): Promise<Buffer> {
  const callOptions: CallOptions = { deadline: Date.now() + limits.timeoutMs }
  return await new Promise<Buffer>((resolve, reject) => {
    const call = client.makeUnaryRequest(
      route(path),
      asItIs,
      asItIs,
      request,
      limits.metadata ?? withLeader,
      callOptions,
      (error, answer) => {
        limits.signal?.removeEventListener('abort', cancel)
        if (error === null && answer !== undefined) resolve(answer)
        else reject(error ?? new Error('no answer'))
      },
    )
    const cancel = (): void => {
      call.cancel()
    }
    limits.signal?.addEventListener('abort', cancel, { once: true })
  })
}

/** Ends a stream with the signal. */
export function cancelOnAbort(
  call: ClientReadableStream<Buffer>,
  signal: AbortSignal | undefined,
): void {
  const cancel = (): void => {
    call.cancel()
  }
  if (signal?.aborted === true) cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  call.once('close', () => signal?.removeEventListener('abort', cancel))
}

/** Whether the connection is there within `ms`; not, as soon as an attempt has failed. */
export async function becomesReady(client: Client, ms: number): Promise<boolean> {
  const channel = client.getChannel()
  const until = performance.now() + ms
  for (;;) {
    const state = channel.getConnectivityState(true)
    if (state === connectivityState.READY) return true
    if (state === connectivityState.TRANSIENT_FAILURE) return false
    const leftMs = until - performance.now()
    if (state === connectivityState.SHUTDOWN || leftMs <= 0) return false
    await new Promise<void>((resolve) => {
      // gRPC counts by the wall clock, which may jump: so what is left is asked of the other one.
      channel.watchConnectivityState(state, Date.now() + leftMs, () => {
        resolve()
      })
    })
  }
}
