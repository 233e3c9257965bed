import type { SecretBytes } from '../../base/secret.ts'
import type { KeyValue } from '../render/formats.ts'

// What proto/latchkey/v1/broker.proto defines, as this program sees it. Limits and meanings are
// written there.

/** The version of the protocol that this sidecar speaks. */
export const protocolVersion = 1
/** The most bytes that a broker's message may have. */
export const maxBrokerMessageBytes = 17 * 1024 * 1024
/** The most keys that a reference may name; beyond it all are asked for. */
export const maxReferenceKeys = 256

export interface Reference {
  readonly secret: string
  /** None means all. */
  readonly keys: readonly string[]
}

export interface OpenMessage {
  readonly kind: 'open'
  readonly token: SecretBytes
  readonly references: readonly Reference[]
  /** 16 random bytes, the same for the life of the process. */
  readonly instance: Uint8Array
  readonly planDigest: string
  readonly client: string
}

export interface TokenRefreshMessage {
  readonly kind: 'token-refresh'
  readonly token: SecretBytes
}

/** What became of a set, by the numbers of enum `Outcome`. */
export const outcomes = {
  written: 1,
  'hook-failed': 2,
  'disk-full': 3,
  'read-only': 4,
  'not-renderable': 5,
  'io-error': 6,
  'waits-for-restart': 7,
} as const
export type Outcome = keyof typeof outcomes

export interface AcknowledgementMessage {
  readonly kind: 'acknowledgement'
  readonly sequence: number
  readonly version: string
  readonly outcome: Outcome
  /** The reference at fault, or empty. */
  readonly secret: string
}

export type SidecarMessage = OpenMessage | TokenRefreshMessage | AcknowledgementMessage

export interface Accepted {
  readonly kind: 'accepted'
  readonly protocolVersion: number
  readonly heartbeatIntervalMs: number
  readonly replica: string
}

export interface CaBundle {
  readonly kind: 'ca-bundle'
  readonly pem: string
}

/** The state of one reference. A status newer than this program counts as `unavailable`. */
export type ItemStatus = 'ready' | 'denied' | 'not-found' | 'unavailable'

/** Why there is no decision, in the order of enum `UnavailableReason`. */
export const unavailableReasons = [
  'unspecified',
  'authorization',
  'source',
  'source-not-configured',
  'too-large',
] as const
export type UnavailableReason = (typeof unavailableReasons)[number]

export interface SetItem {
  readonly secret: string
  readonly status: ItemStatus
  readonly version: string
  /** Of a ready item, in ascending order of their keys, each key a valid one. */
  readonly entries: readonly KeyValue[]
  readonly unavailableReason: UnavailableReason
}

/** Everything that was asked for. Owns its values. */
export interface SecretSet {
  readonly kind: 'secret-set'
  readonly sequence: number
  readonly version: string
  readonly items: readonly SetItem[]
}

export interface Heartbeat {
  readonly kind: 'heartbeat'
  readonly staleMs: number
  readonly sequence: number
}

/** Why a broker ends a stream, in the order of enum `GoodbyeReason`. */
export const goodbyeReasons = [
  'unspecified',
  'draining',
  'protocol-version',
  'invalid-message',
  'token-refused',
  'token-expired',
  'pod-gone',
  'pod-finished',
  'pod-not-injected',
  'peer-address',
  'superseded',
  'limit',
  'review-unavailable',
  'internal',
] as const
export type GoodbyeReason = (typeof goodbyeReasons)[number]

export interface Goodbye {
  readonly kind: 'goodbye'
  readonly reason: GoodbyeReason
  readonly reconnectMinMs: number
  readonly reconnectMaxMs: number
}

/** A message of a kind that came after this release. */
export interface UnknownMessage {
  readonly kind: 'unknown'
}

export type BrokerMessage = Accepted | CaBundle | SecretSet | Heartbeat | Goodbye | UnknownMessage

/** Wipes the values of a set. */
export function wipeSet(set: SecretSet): void {
  for (const { entries } of set.items) {
    for (const { value } of entries) value[Symbol.dispose]()
  }
}
