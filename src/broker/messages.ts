// What proto/latchkey/v1/broker.proto defines, as plain values. Limits and meanings are written there.

/** The version of the protocol that this broker speaks. */
export const protocolVersion = 1

/** Limits of broker.proto. */
export const protocolLimits = {
  clientMessageBytes: 262_144,
  tokenBytes: 16_384,
  references: 128,
  keys: 256,
  instanceBytes: 16,
  clientCharacters: 64,
  versionCharacters: 64,
} as const

/** A secret that a pod asks for, by the text that names it. */
export interface RequestedSecret {
  readonly secret: string
  /** None means all. */
  readonly keys: readonly string[]
}

/** `Open`. */
export interface OpenMessage {
  readonly kind: 'open'
  readonly protocolVersion: number
  /** ASCII; a view of the message. */
  readonly token: Uint8Array
  readonly references: readonly RequestedSecret[]
  /** base64url, so that it can be compared and be a key of a map. */
  readonly instance: string
  readonly planDigest: string
  readonly client: string
}

/** `TokenRefresh`. */
export interface TokenRefreshMessage {
  readonly kind: 'token-refresh'
  readonly token: Uint8Array
}

/** What became of a set, in the order of enum `Outcome`. */
export const outcomes = [
  'unspecified',
  'written',
  'hook-failed',
  'disk-full',
  'read-only',
  'not-renderable',
  'io-error',
  'waits-for-restart',
] as const

/** One of {@link outcomes}. */
export type Outcome = (typeof outcomes)[number]

/** `Acknowledgement`. */
export interface AcknowledgementMessage {
  readonly kind: 'acknowledgement'
  readonly sequence: number
  readonly version: string
  readonly outcome: Outcome
  readonly secret: string
}

/** What a client says. `unknown` is a kind that came after this release. */
export type ClientMessage =
  OpenMessage | TokenRefreshMessage | AcknowledgementMessage | { readonly kind: 'unknown' }

/** What is decided about a secret, in the order of enum `Status`. */
export const statuses = ['unspecified', 'ready', 'denied', 'not-found', 'unavailable'] as const

/** One of {@link statuses}, but for the one that means nothing. */
export type Status = Exclude<(typeof statuses)[number], 'unspecified'>

/** Why nothing is decided, in the order of enum `UnavailableReason`. */
export const unavailableReasons = [
  'unspecified',
  'authorization',
  'source',
  'source-not-configured',
  'too-large',
] as const

/** One of {@link unavailableReasons}. */
export type UnavailableReason = (typeof unavailableReasons)[number]

/** Why a stream ends, in the order of enum `GoodbyeReason`. */
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

/** One of {@link goodbyeReasons}, but for the one that means nothing. */
export type GoodbyeReason = Exclude<(typeof goodbyeReasons)[number], 'unspecified'>

/** `Accepted`. */
export interface AcceptedMessage {
  readonly heartbeatIntervalMs: number
  readonly replica: string
}

/** `Heartbeat`. */
export interface HeartbeatMessage {
  readonly staleMs: number
  readonly sequence: number
}

/** `Goodbye`. */
export interface GoodbyeMessage {
  readonly reason: GoodbyeReason
  readonly reconnectMinMs: number
  readonly reconnectMaxMs: number
}

/** `DeliveryStatusRequest`. */
export interface StatusQuestion {
  readonly namespace: string
  readonly secret: string
}

/** `ReplicaStatus`. */
export interface ReplicaStatus {
  readonly replica: string
  readonly version: string
}

/** `PodStatus`. */
export interface PodStatus {
  readonly podUid: string
  readonly podName: string
  readonly serviceAccount: string
  readonly nodeName: string
  readonly status: Status
  readonly unavailableReason: UnavailableReason
  readonly version: string
  readonly current: boolean
  readonly outcome: Outcome
  readonly acknowledgedMsAgo: number
  readonly staleMs: number
}
