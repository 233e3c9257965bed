import type { Account, Identity } from './identity.ts'
import type { AcknowledgementMessage, GoodbyeReason, RequestedSecret } from './messages.ts'
import type { PreparedSet, SetItem } from './secret-set.ts'

/** A pod's stream, as those see it who only tell of it. */
export interface ObservedStream {
  readonly identity: Identity
  readonly peer: string
  readonly client: string
  readonly references: readonly RequestedSecret[]
  /** Milliseconds since the stream was accepted. */
  readonly ageMs: number
}

/** Everything that a broker tells of its work: for logs, metrics and Events on Pods. */
export interface BrokerObserver {
  opened(stream: ObservedStream, openMs: number): void
  refused(
    reason: GoodbyeReason,
    about: {
      readonly peer: string
      readonly identity: Identity | undefined
      readonly error: unknown
    },
  ): void
  ended(stream: ObservedStream, reason: GoodbyeReason | 'cancelled', error: unknown): void
  delivered(stream: ObservedStream, set: Pick<PreparedSet, 'items' | 'sequence'>): void
  acknowledged(stream: ObservedStream, acknowledgement: AcknowledgementMessage): void
  /** What the pod waits for; nothing is an empty list. */
  waiting(stream: ObservedStream, items: readonly SetItem[]): void
  tokenRefreshed(stream: ObservedStream): void
  tokenRefreshRefused(stream: ObservedStream, error: unknown): void
  /** Two clients speak for one pod. */
  concurrent(stream: ObservedStream): void
  otherAddress(identity: Identity, peer: string): void
  decided(
    decision: 'allowed' | 'denied' | 'revoked',
    about: { readonly account: Account; readonly secret: string },
  ): void
  draining(streams: number): void
}
