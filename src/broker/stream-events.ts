import type { Clock } from '../base/clock.ts'
import { isLatchkeyError } from '../base/errors.ts'
import type { AuditSink } from '../observe/audit.ts'
import { createRateLimit } from '../observe/rate-limit.ts'
import { auditSubject } from './delivery.ts'
import { goodbyeReason } from './goodbye.ts'
import type { Identity } from './identity.ts'
import type { BrokerObserver, ObservedStream } from './observer.ts'
import type { SessionEvents } from './session.ts'
import type { PodStream, StreamObserver } from './stream.ts'

/** Refusals of one peer for one reason are recorded this much apart. */
const refusalApartMs = 1_000

/** Who is to know. */
export interface StreamEventsDeps {
  readonly audit: AuditSink
  readonly observer: BrokerObserver
  readonly clock: Clock
  /** A stream has ended. */
  readonly onEnded: (stream: PodStream) => void
}

/** Brings what happens on streams and to their sessions to the audit and to the observer. */
export class StreamEvents implements StreamObserver {
  readonly #deps: StreamEventsDeps
  readonly #refusals

  constructor(deps: StreamEventsDeps) {
    this.#deps = deps
    this.#refusals = createRateLimit({ intervalMs: refusalApartMs, clock: deps.clock })
  }

  readonly opened = (stream: PodStream, openMs: number): void => {
    this.#deps.observer.opened(this.#seen(stream), openMs)
  }

  /** A call did not become a stream. */
  readonly refused = (
    error: unknown,
    about: { readonly peer: string; readonly identity: Identity | undefined },
  ): void => {
    const { peer, identity } = about
    const reason = goodbyeReason(error)
    // Whoever is refused again and again must not fill the audit: the first of each second counts.
    const admitted = this.#refusals.admit(`${peer} ${reason} ${identity?.pod.uid ?? ''}`)
    if (admitted !== undefined) {
      this.#deps.audit.note({
        event: 'stream.refused',
        outcome: 'denied',
        ...(isLatchkeyError(error) ? { why: error.code } : {}),
        ...(identity === undefined ? {} : { who: auditSubject(identity) }),
        peer,
        ...(admitted.heldBack === 0 ? {} : { detail: `and ${admitted.heldBack} before` }),
      })
    }
    this.#deps.observer.refused(reason, { peer, identity, error })
  }

  readonly delivered: StreamObserver['delivered'] = (stream, set) => {
    this.#deps.observer.delivered(this.#seen(stream), set)
  }

  readonly acknowledged: StreamObserver['acknowledged'] = (stream, acknowledgement) => {
    this.#deps.observer.acknowledged(this.#seen(stream), acknowledgement)
  }

  readonly waiting: StreamObserver['waiting'] = (stream, items) => {
    this.#deps.observer.waiting(this.#seen(stream), items)
  }

  readonly ended: StreamObserver['ended'] = (stream, reason, error) => {
    this.#deps.onEnded(stream)
    this.#deps.audit.note({
      event: 'stream.end',
      outcome: 'done',
      ...(isLatchkeyError(error) ? { why: error.code } : {}),
      who: auditSubject(stream.session.identity),
      peer: stream.peer,
      detail: reason,
    })
    this.#deps.observer.ended(this.#seen(stream), reason, error)
  }

  /** Two clients speak for the pod of `stream`. */
  readonly concurrent = (stream: PodStream): void => {
    const who = auditSubject(stream.session.identity)
    this.#deps.audit.note({ event: 'pod.concurrent', outcome: 'done', who, peer: stream.peer })
    this.#deps.observer.concurrent(this.#seen(stream))
  }

  /** What becomes of the session of a stream, which there is not yet when the session begins. */
  ofSession(peer: string, of: () => PodStream | undefined): SessionEvents {
    const { audit, observer } = this.#deps
    return {
      ended: (error) => of()?.fail(error),
      refreshed: () => {
        const stream = of()
        if (stream === undefined) return
        const who = auditSubject(stream.session.identity)
        audit.note({ event: 'token.refreshed', outcome: 'done', who })
        observer.tokenRefreshed(this.#seen(stream))
      },
      refreshRefused: (error) => {
        const stream = of()
        if (stream === undefined) return
        const who = auditSubject(stream.session.identity)
        const why = 'ERR_TOKEN_REFUSED'
        audit.note({ event: 'token.refused', outcome: 'denied', why, who, peer: stream.peer })
        observer.tokenRefreshRefused(this.#seen(stream), error)
      },
      otherAddress: (identity) => {
        const who = auditSubject(identity)
        audit.note({ event: 'pod.address', outcome: 'allowed', who, peer })
        observer.otherAddress(identity, peer)
      },
    }
  }

  #seen(stream: PodStream): ObservedStream {
    return {
      identity: stream.session.identity,
      peer: stream.peer,
      client: stream.client,
      references: stream.cohort.references,
      ageMs: this.#deps.clock.monotonicMs() - stream.openedAtMs,
    }
  }
}
