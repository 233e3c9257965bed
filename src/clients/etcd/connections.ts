import { Metadata, type ClientDuplexStream, type ClientReadableStream } from '@grpc/grpc-js'
import type { HostPort } from '../../base/address.ts'
import {
  asItIs,
  becomesReady,
  callOnce,
  cancelOnAbort,
  connect,
  route,
  withLeader,
  type Endpoint,
  type TlsMaterial,
} from './endpoint.ts'
import { etcdError, isNotTried, isUnanswered } from './errors.ts'

/** How a call may be made. */
export interface CallLimits {
  /** Milliseconds until it must be answered. */
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
  /**
   * A read is asked of one member after the other. A write is sent once: when it is not answered,
   * nobody knows whether it was made.
   */
  readonly kind: 'read' | 'write'
  /** Whether a member that sees no leader may answer too. Default no. */
  readonly leaderless?: boolean
}

/**
 * With less time left, in milliseconds, a call is not repeated. A write that is not answered in time
 * is uncertain, where the refusal before it was certain.
 */
const [leastReadMs, leastWriteMs] = [100, 1_000]

/** Connections to the members of a cluster: calls go to one of them, and to the next when it fails. */
export class EtcdConnections {
  readonly #addresses: readonly HostPort[]
  #endpoints: readonly Endpoint[]
  /** Index of the member that answered last. */
  #preferred = 0
  #closed = false

  constructor(addresses: readonly HostPort[], tls: TlsMaterial | undefined) {
    this.#addresses = addresses
    this.#endpoints = connect(addresses, tls)
  }

  /** Where the members are, in the order given. */
  get names(): readonly string[] {
    return this.#endpoints.map(({ name }) => name)
  }

  /** Makes calls with other credentials from now on; calls in flight end as they began. */
  replaceCredentials(tls: TlsMaterial | undefined): void {
    if (this.#closed) return
    const former = this.#endpoints
    this.#endpoints = connect(this.#addresses, tls)
    for (const { client } of former) client.close()
  }

  /** Ends every connection. */
  close(): void {
    this.#closed = true
    for (const { client } of this.#endpoints) client.close()
  }

  /**
   * One call, one answer, of whichever member gives it. `path` is `Service/Method`.
   *
   * @throws as {@link etcdError}; the signal's reason.
   */
  async unary(path: string, request: Buffer, limits: CallLimits): Promise<Buffer> {
    const deadlineMs = performance.now() + limits.timeoutMs
    for (;;) {
      const endpoint = await this.#ready(path, deadlineMs, limits.signal)
      const leftMs = Math.max(deadlineMs - performance.now(), 50)
      const isRead = limits.kind === 'read'
      // A member that swallows calls must leave time to ask another.
      const timeoutMs = isRead && this.#endpoints.length > 1 ? leftMs / 2 : leftMs
      try {
        return await callOnce(endpoint, path, request, {
          timeoutMs,
          signal: limits.signal,
          ...(limits.leaderless === true ? { metadata: new Metadata() } : {}),
        })
      } catch (error) {
        limits.signal?.throwIfAborted()
        const mayRepeat = isNotTried(error) || (isRead && isUnanswered(error))
        const late = deadlineMs - performance.now() < (isRead ? leastReadMs : leastWriteMs)
        if (!mayRepeat || late) {
          throw etcdError(error, { method: path, endpoint: endpoint.name, sentWrite: !isRead })
        }
        this.#avoid(endpoint)
        await pause(50)
      }
    }
  }

  /**
   * One call of the member at `index` and no other, whatever it knows of the others.
   *
   * @throws as {@link EtcdConnections.unary}.
   */
  async unaryAt(
    index: number,
    path: string,
    request: Buffer,
    limits: Pick<CallLimits, 'timeoutMs' | 'signal'>,
  ): Promise<Buffer> {
    const endpoint = this.#endpoints[index]
    if (endpoint === undefined) throw new RangeError('there is no such member')
    try {
      return await callOnce(endpoint, path, request, { ...limits, metadata: new Metadata() })
    } catch (error) {
      limits.signal?.throwIfAborted()
      throw etcdError(error, { method: path, endpoint: endpoint.name, sentWrite: false })
    }
  }

  /**
   * Opens a stream in both directions to a member that is connected. It ends with the signal.
   *
   * @throws as {@link etcdError} when none can be reached within `timeoutMs`.
   */
  async duplex(path: string, limits: Omit<CallLimits, 'kind'>): Promise<EtcdDuplex> {
    const endpoint = await this.#ready(path, performance.now() + limits.timeoutMs, limits.signal)
    const call = endpoint.client.makeBidiStreamRequest(route(path), asItIs, asItIs, withLeader)
    cancelOnAbort(call, limits.signal)
    return {
      call,
      endpoint: endpoint.name,
      failed: (error) => {
        this.#avoid(endpoint)
        return etcdError(error, { method: path, endpoint: endpoint.name, sentWrite: false })
      },
    }
  }

  /** As {@link EtcdConnections.duplex}, for a call that is answered by a stream. */
  async download(
    path: string,
    request: Buffer,
    limits: Omit<CallLimits, 'kind'>,
  ): Promise<Omit<EtcdDuplex, 'call'> & { readonly call: ClientReadableStream<Buffer> }> {
    const endpoint = await this.#ready(path, performance.now() + limits.timeoutMs, limits.signal)
    const call = endpoint.client.makeServerStreamRequest(route(path), asItIs, asItIs, request)
    cancelOnAbort(call, limits.signal)
    return {
      call,
      endpoint: endpoint.name,
      failed: (error) =>
        etcdError(error, { method: path, endpoint: endpoint.name, sentWrite: false }),
    }
  }

  /** A member that is connected: the one that answered last if it is, or the next that comes to be. */
  async #ready(
    path: string,
    deadlineMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Endpoint> {
    for (;;) {
      const endpoints = this.#endpoints
      for (const [turn] of endpoints.entries()) {
        signal?.throwIfAborted()
        const index = (this.#preferred + turn) % endpoints.length
        const endpoint = endpoints[index]
        if (endpoint === undefined) continue
        const shareMs = (deadlineMs - performance.now()) / (endpoints.length - turn)
        if (await becomesReady(endpoint.client, Math.max(shareMs, 1))) {
          this.#preferred = index
          return endpoint
        }
      }
      if (this.#closed || performance.now() >= deadlineMs) break
      await pause(20)
    }
    const endpoint = this.#endpoints[this.#preferred] ?? { name: '' }
    const asked = { method: path, endpoint: endpoint.name, sentWrite: false }
    throw etcdError(await this.#whyNot(), asked)
  }

  /** Asks a harmless question, whose failure says why there is no connection. */
  async #whyNot(): Promise<unknown> {
    const endpoint = this.#endpoints[this.#preferred]
    if (endpoint === undefined) return new RangeError('no endpoint')
    return callOnce(endpoint, 'Maintenance/Status', Buffer.alloc(0), {
      timeoutMs: 100,
      signal: undefined,
    }).then(
      () => new Error('not connected'),
      (error: unknown) => error,
    )
  }

  #avoid(endpoint: Endpoint): void {
    const index = this.#endpoints.indexOf(endpoint)
    if (index === this.#preferred) this.#preferred = (index + 1) % this.#endpoints.length
  }
}

/** A stream in both directions, and how its failure is said. */
export interface EtcdDuplex {
  readonly call: ClientDuplexStream<Buffer, Buffer>
  readonly endpoint: string
  /** The failure of the stream as an error of ours; the next stream goes to another member. */
  readonly failed: (error: unknown) => Error
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}
