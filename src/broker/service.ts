import type { Clock } from '../base/clock.ts'
import { LatchkeyError } from '../base/errors.ts'
import { createSemaphore } from '../base/semaphore.ts'
import type { AuditSink } from '../observe/audit.ts'
import type { Versioner } from '../secrets/version.ts'
import type { Catalog } from './catalog.ts'
import { auditItem, auditSubject } from './delivery.ts'
import { goodbyeOf, goodbyeReason } from './goodbye.ts'
import type { Authenticator, Authorizer, Identity, PodDirectory } from './identity.ts'
import type { OpenMessage } from './messages.ts'
import type { BrokerObserver } from './observer.ts'
import { OpenAllowance } from './open-allowance.ts'
import { Permissions } from './permissions.ts'
import { Session, type SessionDeps, type SessionRules } from './session.ts'
import { PodStream, type StreamDeps, type StreamTransport } from './stream.ts'
import { StreamEvents } from './stream-events.ts'
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

/** The broker: opens streams and looks after them. Transport, sources and cluster are passed in. */
export class Broker {
  readonly streams: Streams
  readonly permissions: Permissions
  readonly #deps: BrokerDeps
  readonly #opening = createSemaphore({ concurrent: 32, waiting: 4_096, waitingOfOne: 3_584 })
  readonly #sessionDeps: SessionDeps
  readonly #streamDeps: StreamDeps
  readonly #opens: OpenAllowance
  readonly #events: StreamEvents
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
    this.#events = new StreamEvents({
      ...deps,
      onEnded: (stream) => {
        this.streams.remove(stream)
      },
    })
    this.#streamDeps = { ...deps, ...deps.settings, observer: this.#events }
    this.#opens = new OpenAllowance(clock)
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
        transport.peer,
      )
      this.#events.opened(stream, this.#deps.clock.monotonicMs() - startedAtMs)
      // The broker may have begun to stop while the stream was being opened.
      if (this.#isDraining()) stream.end('draining', { goodbye: this.#farewell() })
      stream.start()
      return stream
    } catch (error) {
      this.refuse(transport, error, identity)
      return undefined
    }
  }

  /** Ends a call that did not become a stream, and records why. */
  refuse(transport: StreamTransport, error: unknown, identity?: Identity): void {
    transport.end(goodbyeOf(goodbyeReason(error)))
    this.#events.refused(error, { peer: transport.peer, identity })
  }

  /** Distributes a bundle of certificate authorities, now and to everybody who comes. */
  setCaBundle(pem: Uint8Array): void {
    this.#caBundle = pem
    for (const stream of this.streams) stream.sendCaBundle(pem)
  }

  /** Looks after the streams until the signal is aborted. */
  async run(): Promise<void> {
    const { clock, signal } = this.#deps
    for (;;) {
      await clock.sleep(tickMs, signal).catch(() => undefined)
      if (signal.aborted) return
      for (const stream of [...this.streams]) stream.tick()
      for (const stream of this.streams.overlapping()) this.#events.concurrent(stream)
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

  #isDraining(): boolean {
    return this.#draining
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
        events: this.#events.ofSession(transport.peer, () => place.stream),
        onIdentity: options.onIdentity,
        signal,
      },
    )
    // Counted apart, lest whoever has got hold of a token keeps the pod itself out.
    const origin = `${session.identity.pod.uid} ${session.atPodAddress ? 'own' : 'other'}`
    if (!this.#opens.spend(origin)) {
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
}
