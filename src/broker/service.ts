import type { Clock } from '../base/clock.ts'
import { isLatchkeyError, LatchkeyError, type ErrorCode } from '../base/errors.ts'
import { createSemaphore } from '../base/semaphore.ts'
import type { AuditSink } from '../observe/audit.ts'
import { createRateLimit } from '../observe/rate-limit.ts'
import type { Versioner } from '../secrets/version.ts'
import type { Catalog } from './catalog.ts'
import { auditItem, auditSubject } from './delivery.ts'
import { goodbyeOf, goodbyeReason } from './goodbye.ts'
import type { Authenticator, Authorizer, Identity, PodDirectory } from './identity.ts'
import type { OpenMessage } from './messages.ts'
import type { BrokerObserver, ObservedStream } from './observer.ts'
import { Permissions } from './permissions.ts'
import { Session, type SessionDeps, type SessionEvents, type SessionRules } from './session.ts'
import { PodStream, type StreamDeps, type StreamObserver, type StreamTransport } from './stream.ts'
import { Streams, type StreamLimits } from './streams.ts'

/** What a broker is made of. */
export interface BrokerDeps {
  readonly authenticator: Authenticator
  readonly authorizer: Authorizer
  readonly pods: PodDirectory
  readonly catalog: Catalog
  readonly versioner: Versioner
  readonly audit: AuditSink
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Calls back in a later turn of the event loop. */
  readonly defer: (work: () => void) => void
  readonly observer: BrokerObserver
  readonly onAsked: (result: 'allowed' | 'denied' | 'unavailable') => void
  readonly settings: BrokerSettings
  /** Aborted when the broker is to end. */
  readonly signal: AbortSignal
}

/** How a broker behaves. */
export interface BrokerSettings extends StreamLimits {
  readonly rules: SessionRules
  readonly heartbeatIntervalMs: number
  /** Names this broker to clients: at most 64 printable ASCII characters. */
  readonly replica: string
}

const tickMs = 1_000
/** One pod may open streams this much apart. */
const openApartMs = 250
/** Refusals of one peer for one reason are recorded this much apart. */
const refusalApartMs = 1_000

/** The broker: opens streams and looks after them. Transport, sources and cluster are passed in. */
export class Broker {
  readonly streams: Streams
  readonly permissions: Permissions
  readonly #deps: BrokerDeps
  readonly #opening = createSemaphore({ concurrent: 32, waiting: 4_096 })
  readonly #sessionDeps: SessionDeps
  readonly #streamDeps: StreamDeps
  readonly #openLimit
  readonly #refusalLimit
  #caBundle: Uint8Array | undefined
  #draining = false

  constructor(deps: BrokerDeps) {
    this.#deps = deps
    const { authorizer, catalog, clock, defer, random, signal, versioner } = deps
    this.permissions = new Permissions({
      authorizer,
      clock,
      random,
      signal,
      onAsked: deps.onAsked,
      onDecision: (decision, { account, secret }) => {
        deps.audit.note({
          event:
            decision === 'allowed'
              ? 'secret.allowed'
              : decision === 'denied'
                ? 'secret.denied'
                : 'secret.revoked',
          outcome: decision === 'allowed' ? 'allowed' : 'denied',
          who: { namespace: account.namespace, account: account.name },
          what: [{ secret, keys: [] }],
        })
        deps.observer.decided(decision, { account, secret })
      },
    })
    const cohort = { permissions: this.permissions, catalog, versioner, clock, defer }
    this.streams = new Streams(deps.settings, cohort)
    this.#sessionDeps = { ...deps, rules: deps.settings.rules }
    this.#streamDeps = { ...deps, ...deps.settings, observer: this.#streamObserver }
    this.#openLimit = createRateLimit({ intervalMs: openApartMs, clock })
    this.#refusalLimit = createRateLimit({ intervalMs: refusalApartMs, clock })
  }

  /**
   * Opens a stream, or ends the call with the reason why not. Resolves with the stream, to which the
   * client's further messages go, or with nothing when it was refused.
   */
  async open(transport: StreamTransport, message: OpenMessage): Promise<PodStream | undefined> {
    const startedAtMs = this.#deps.clock.monotonicMs()
    let identity: Identity | undefined
    try {
      if (this.#draining) {
        transport.end(this.#farewell())
        return undefined
      }
      if (message.protocolVersion < 1) {
        throw new LatchkeyError('ERR_PROTOCOL_VERSION', 'the protocol version is not spoken here')
      }
      const signal = AbortSignal.any([transport.signal, this.#deps.signal])
      const onIdentity = (known: Identity): void => {
        identity = known
      }
      const stream = await this.#opening.run(
        () => this.#open(transport, { message, signal, onIdentity }),
        signal,
      )
      this.#deps.observer.opened(
        observed(stream, this.#deps.clock),
        this.#deps.clock.monotonicMs() - startedAtMs,
      )
      stream.start()
      return stream
    } catch (error) {
      this.refuse(transport, error, identity)
      return undefined
    }
  }

  /** Ends a call that did not become a stream, and records why. */
  refuse(transport: StreamTransport, error: unknown, identity?: Identity): void {
    const reason = goodbyeReason(error)
    transport.end(goodbyeOf(reason))
    const code: ErrorCode | undefined = isLatchkeyError(error) ? error.code : undefined
    const { peer } = transport
    // Whoever is refused again and again must not fill the audit: the first of each second counts.
    const admitted = this.#refusalLimit.admit(`${peer} ${reason} ${identity?.pod.uid ?? ''}`)
    if (admitted !== undefined) {
      this.#deps.audit.note({
        event: 'stream.refused',
        outcome: 'denied',
        ...(code === undefined ? {} : { why: code }),
        ...(identity === undefined ? {} : { who: auditSubject(identity) }),
        peer,
        ...(admitted.heldBack === 0 ? {} : { detail: `and ${admitted.heldBack} before` }),
      })
    }
    this.#deps.observer.refused(reason, { peer, identity, error })
  }

  /** Distributes a bundle of certificate authorities, now and to everybody who comes. */
  setCaBundle(pem: Uint8Array): void {
    this.#caBundle = pem
    for (const stream of this.streams) stream.sendCaBundle(pem)
  }

  /** Looks after the streams until the signal is aborted. */
  async run(): Promise<void> {
    const { clock, signal, audit, observer } = this.#deps
    for (;;) {
      await clock.sleep(tickMs, signal).catch(() => undefined)
      if (signal.aborted) return
      for (const stream of [...this.streams]) stream.tick()
      for (const stream of this.streams.overlapping()) {
        const who = auditSubject(stream.session.identity)
        audit.note({ event: 'pod.concurrent', outcome: 'done', who, peer: stream.peer })
        observer.concurrent(observed(stream, clock))
      }
    }
  }

  /** Sends everybody to another replica, each after a random time, and takes nobody on. */
  drain(): void {
    if (this.#draining) return
    this.#draining = true
    this.#deps.observer.draining(this.streams.size)
    const goodbye = this.#farewell()
    for (const stream of [...this.streams]) stream.end('draining', { goodbye })
  }

  /** 1.6 ms of CPU for each handshake: the others get time for those that come to them. */
  #farewell(): ReturnType<typeof goodbyeOf> {
    const spreadMs = Math.min(30_000, Math.max(500, this.streams.size * 4))
    return { reason: 'draining', reconnectMinMs: 0, reconnectMaxMs: spreadMs }
  }

  async #open(
    transport: StreamTransport,
    options: {
      readonly message: OpenMessage
      readonly signal: AbortSignal
      readonly onIdentity: (identity: Identity) => void
    },
  ): Promise<PodStream> {
    const { audit } = this.#deps
    const { message, signal } = options
    const place: { stream?: PodStream } = {}
    const session = await Session.open(
      message.token,
      { peer: transport.peer, planDigest: message.planDigest },
      {
        deps: this.#sessionDeps,
        events: this.#sessionEvents(transport, () => place.stream),
        onIdentity: options.onIdentity,
        signal,
      },
    )
    if (this.#openLimit.admit(session.identity.pod.uid) === undefined) {
      session.end()
      throw new LatchkeyError('ERR_LIMIT', 'the pod opens streams too fast')
    }
    const cohort = this.streams.cohort(session.identity.account, message.references)
    const { instance, client } = message
    const parts = { session, cohort, transport, instance, client }
    const stream = (place.stream = new PodStream(parts, this.#streamDeps))
    cohort.add(stream)
    try {
      await audit.admit({
        event: 'stream.open',
        outcome: 'allowed',
        who: auditSubject(session.identity),
        peer: transport.peer,
        what: message.references.map((requested) => auditItem(requested)),
      })
      signal.throwIfAborted()
      // Its pod may have ended meanwhile, and the call with it.
      if (!stream.ended) this.streams.add(stream)
    } catch (error) {
      session.end()
      this.streams.remove(stream)
      throw error
    }
    if (this.#caBundle !== undefined) stream.sendCaBundle(this.#caBundle)
    return stream
  }

  #sessionEvents(transport: StreamTransport, of: () => PodStream | undefined): SessionEvents {
    const { audit, clock, observer } = this.#deps
    return {
      ended: (error) => of()?.fail(error),
      refreshed: () => {
        const stream = of()
        if (stream === undefined) return
        audit.note({
          event: 'token.refreshed',
          outcome: 'done',
          who: auditSubject(stream.session.identity),
        })
        observer.tokenRefreshed(observed(stream, clock))
      },
      refreshRefused: (error) => {
        const stream = of()
        if (stream === undefined) return
        const who = auditSubject(stream.session.identity)
        audit.note({
          event: 'token.refused',
          outcome: 'denied',
          why: 'ERR_TOKEN_REFUSED',
          who,
          peer: stream.peer,
        })
        observer.tokenRefreshRefused(observed(stream, clock), error)
      },
      otherAddress: (identity) => {
        const who = auditSubject(identity)
        audit.note({ event: 'pod.address', outcome: 'allowed', who, peer: transport.peer })
        observer.otherAddress(identity, transport.peer)
      },
    }
  }

  readonly #streamObserver: StreamObserver = {
    delivered: (stream, set) => {
      this.#deps.observer.delivered(observed(stream, this.#deps.clock), set)
    },
    acknowledged: (stream, acknowledgement) => {
      this.#deps.observer.acknowledged(observed(stream, this.#deps.clock), acknowledgement)
    },
    waiting: (stream, items) => {
      this.#deps.observer.waiting(observed(stream, this.#deps.clock), items)
    },
    ended: (stream, reason, error) => {
      this.streams.remove(stream)
      this.#deps.audit.note({
        event: 'stream.end',
        outcome: 'done',
        ...(isLatchkeyError(error) ? { why: error.code } : {}),
        who: auditSubject(stream.session.identity),
        peer: stream.peer,
        detail: reason,
      })
      this.#deps.observer.ended(observed(stream, this.#deps.clock), reason, error)
    },
  }
}

function observed(stream: PodStream, clock: Clock): ObservedStream {
  return {
    identity: stream.session.identity,
    peer: stream.peer,
    client: stream.client,
    references: stream.cohort.references,
    ageMs: clock.monotonicMs() - stream.openedAtMs,
  }
}
