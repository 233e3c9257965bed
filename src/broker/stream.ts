import type { Clock } from '../base/clock.ts'
import { LatchkeyError } from '../base/errors.ts'
import type { AuditSink } from '../observe/audit.ts'
import type { Versioner } from '../secrets/version.ts'
import { sequenceStep, type Cohort, type Member } from './cohort.ts'
import { auditSubject, Delivery, withholdValues } from './delivery.ts'
import { DeliveryRecord } from './delivery-record.ts'
import { encodeAccepted, encodeCaBundle } from './encode.ts'
import { goodbyeOf, goodbyeReason } from './goodbye.ts'
import { Heartbeats } from './heartbeats.ts'
import type {
  AcknowledgementMessage,
  ClientMessage,
  GoodbyeMessage,
  GoodbyeReason,
} from './messages.ts'
import { MessageAllowance } from './message-allowance.ts'
import { MissingItems } from './missing-items.ts'
import { isDecided, type PreparedSet, type SetItem } from './secret-set.ts'
import type { Session } from './session.ts'

/** One call, as a stream sees it. */
export interface StreamTransport {
  /** Address of the peer. */
  readonly peer: string
  /** Aborted when the call is gone, whoever ended it. */
  readonly signal: AbortSignal
  /** Hands a message on. Resolves when there is room for another, and may never, for a slow peer. */
  send(message: Buffer): Promise<void>
  /**
   * Says goodbye, behind what is under way, and ends the call with the status that belongs to it. Does
   * nothing when it has ended already.
   */
  end(goodbye: GoodbyeMessage): void
}

/** What happens on a stream, for metrics, logs and Events. */
export interface StreamObserver {
  readonly delivered: (stream: PodStream, set: PreparedSet) => void
  readonly acknowledged: (stream: PodStream, acknowledgement: AcknowledgementMessage) => void
  /** What the pod is waiting for has changed; nothing is an empty list. */
  readonly waiting: (stream: PodStream, items: readonly SetItem[]) => void
  readonly ended: (stream: PodStream, reason: GoodbyeReason | 'cancelled', error?: unknown) => void
}

/** What streams need from outside. */
export interface StreamDeps {
  readonly clock: Clock
  readonly audit: AuditSink
  readonly versioner: Versioner
  readonly observer: StreamObserver
  readonly heartbeatIntervalMs: number
  readonly replica: string
}

/** The first set waits this long for every reference to be decided. */
const firstSetWithinMs = 3_000

/** One pod's stream, from the moment it was accepted. */
export class PodStream implements Member {
  readonly session: Session
  readonly cohort: Cohort
  readonly delivery: Delivery
  readonly instance: string
  readonly client: string
  readonly openedAtMs: number
  readonly #transport: StreamTransport
  readonly #deps: StreamDeps
  /** Messages that are sent before anything else. */
  #control: Buffer[]
  #started = false
  #pumping = false
  /** Something may have changed since it was last looked for. */
  #again = false
  #ended = false
  /** Whether permissions were asked on behalf of this stream, or may be used for it. */
  #answered = false
  readonly #heartbeats: Heartbeats
  readonly #record: DeliveryRecord
  readonly #allowance: MessageAllowance
  readonly #missing = new MissingItems()

  constructor(
    parts: {
      readonly session: Session
      readonly cohort: Cohort
      readonly instance: string
      readonly client: string
      readonly transport: StreamTransport
    },
    deps: StreamDeps,
  ) {
    this.session = parts.session
    this.cohort = parts.cohort
    this.instance = parts.instance
    this.client = parts.client
    this.delivery = new Delivery(parts.cohort.references)
    this.#transport = parts.transport
    this.#deps = deps
    this.#allowance = new MessageAllowance(deps.clock)
    this.openedAtMs = deps.clock.monotonicMs()
    const { clock, heartbeatIntervalMs, replica } = deps
    this.#heartbeats = new Heartbeats(clock, heartbeatIntervalMs)
    this.#record = new DeliveryRecord(deps, () => ({
      who: auditSubject(this.session.identity),
      peer: this.peer,
      references: this.cohort.references,
    }))
    this.#control = [encodeAccepted({ heartbeatIntervalMs, replica })]
  }

  get peer(): string {
    return this.#transport.peer
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Milliseconds since everything that the client was told was last known to be true. */
  staleMs(): number {
    return Math.max(this.cohort.staleMs(), this.session.staleMs())
  }

  /** A newer bundle takes the place of one that has not been sent yet. */
  sendCaBundle(pem: Uint8Array): void {
    this.#control = [...this.#control.slice(0, 1), encodeCaBundle(pem)]
    this.update()
  }

  /** Takes what the client says after its Open. Throws `ERR_MESSAGE_INVALID`, `ERR_LIMIT`. */
  receive(message: ClientMessage): void {
    this.#allowance.spend()
    switch (message.kind) {
      case 'open':
        throw new LatchkeyError('ERR_MESSAGE_INVALID', 'a stream is opened once')
      case 'token-refresh':
        this.session.refresh(message.token)
        return
      case 'acknowledgement':
        this.#acknowledge(message)
        return
      case 'unknown':
        return
    }
  }

  /** Begins to speak to the client. */
  start(): void {
    this.#started = true
    this.update()
  }

  update(): void {
    this.#again = true
    if (this.#pumping || this.#ended || !this.#started) return
    this.#pumping = true
    void this.#pump()
  }

  /** Does what is due; called about once a second. */
  tick(): void {
    this.session.tick()
    this.update()
  }

  /** Ends the stream; `reason` is what the client is told. */
  end(
    reason: GoodbyeReason | 'cancelled',
    options: { readonly error?: unknown; readonly goodbye?: GoodbyeMessage } = {},
  ): void {
    if (this.#ended) return
    this.#ended = true
    this.session.end()
    if (reason !== 'cancelled') this.#transport.end(options.goodbye ?? goodbyeOf(reason))
    this.#deps.observer.ended(this, reason, options.error)
  }

  /** Ends the stream because of an error. */
  fail(error: unknown): void {
    this.end(goodbyeReason(error), { error })
  }

  /** Sends one thing after the other, always the newest there is, until nothing is due. */
  async #pump(): Promise<void> {
    try {
      while (!this.#ended) {
        this.#again = false
        const message = this.#control.shift() ?? (await this.#nextSet()) ?? this.#nextHeartbeat()
        if (this.#isEnded()) break
        if (message !== undefined) await this.#transport.send(message)
        else if (!this.#isRung()) break
      }
    } catch (error) {
      this.fail(error)
    } finally {
      this.#pumping = false
    }
  }

  /** The set that is due, recorded and ready to be sent; `undefined` when none is. */
  async #nextSet(): Promise<Buffer | undefined> {
    for (;;) {
      const set = this.#dueSet()
      if (set === undefined) return undefined
      const news = this.delivery.newsOf(set)
      if (news.handedOut.length > 0) {
        const recorded = await this.#record.admit(set)
        if (this.#isEnded()) return undefined
        // Meanwhile there may be a newer set, and this one is wiped, or about to be.
        if (set !== this.cohort.current || this.cohort.outdated) continue
        if (!recorded) return this.#takeAway(set)
      } else this.#record.note(set)
      return this.#send(set)
    }
  }

  /** The newest set, if the client should have it. */
  #dueSet(): PreparedSet | undefined {
    const set = this.cohort.current
    const now = this.#deps.clock.monotonicMs()
    const first = this.delivery.lastSequence === 0
    const late = now - this.openedAtMs >= firstSetWithinMs
    this.#answered ||= this.cohort.answered(this.session.identity.account, this.openedAtMs)
    if (set === undefined || this.cohort.outdated) return undefined
    if (!this.#answered) {
      // Nobody has answered for this pod yet: what others of its kind have is not for it.
      return first && late ? this.#allUnavailable(set) : undefined
    }
    const missing = this.#missing.news(set, late)
    if (missing !== undefined) this.#deps.observer.waiting(this, missing)
    if (first) return late || set.items.every(isDecided) ? set : undefined
    const { handedOut, takenAway } = this.delivery.newsOf(set)
    return handedOut.length + takenAway.length > 0 ? set : undefined
  }

  #allUnavailable(set: PreparedSet): PreparedSet | undefined {
    const items = set.items.map((item) => ({
      ...item,
      status: 'unavailable' as const,
      version: '',
      reason: 'authorization' as const,
    }))
    return this.#withhold({ ...set, items })
  }

  /** A set for this stream alone, numbered between two of the cohort's. */
  #withhold({ items, sequence: next }: PreparedSet): PreparedSet | undefined {
    const sequence = Math.max(this.delivery.lastSequence + 1, next - sequenceStep + 1)
    if (sequence >= next) return undefined
    return withholdValues(items, { sequence, versioner: this.#deps.versioner })
  }

  /** What must go goes, even while nothing can be recorded and so nothing is handed out. */
  #takeAway(set: PreparedSet): Buffer | undefined {
    if (this.delivery.newsOf(set).takenAway.length === 0) return undefined
    const withheld = this.#withhold(set)
    if (withheld === undefined) return undefined
    this.#record.note(withheld)
    return this.#send(withheld)
  }

  #send(set: PreparedSet): Buffer {
    // The first set is followed by word of how fresh it is.
    if (this.delivery.lastSequence === 0) this.#heartbeats.hasten()
    this.delivery.sent(set)
    this.#allowance.earn()
    this.#deps.observer.delivered(this, set)
    return set.message
  }

  #nextHeartbeat(): Buffer | undefined {
    return this.#heartbeats.next({
      staleMs: this.staleMs(),
      sequence: this.delivery.lastSequence,
    })
  }

  #acknowledge(message: AcknowledgementMessage): void {
    const now = this.#deps.clock.monotonicMs()
    if (!this.delivery.acknowledge(message, now)) return
    this.#record.acknowledged(message)
    this.#deps.observer.acknowledged(this, message)
  }

  #isRung(): boolean {
    return this.#again
  }

  #isEnded(): boolean {
    return this.#ended
  }
}
