import type { ErrorCode } from '../base/errors.ts'

/** On whose behalf something was asked. */
export interface AuditSubject {
  /** Empty for somebody who is no service account. */
  readonly namespace: string
  /** Name of the service account, or the user's. */
  readonly account: string
  readonly pod?: string
  readonly podUid?: string
  /** Empty when the token does not say. */
  readonly node?: string
  /** The credential's id (`jti`), never the credential; empty when the API server does not say. */
  readonly tokenId?: string
}

/** Most keys that are named for one secret, so that a line of 128 secrets stays within its limit. */
export const maxAuditedKeys = 8

/** What was asked for, or given. */
export interface AuditItem {
  /** The reference, as it was asked: `db`, `vault:db`. */
  readonly secret: string
  /** Keys asked for, the first {@link maxAuditedKeys} of them; empty means all. */
  readonly keys: readonly string[]
  /** How many more keys were asked for. */
  readonly moreKeys?: number
  readonly status?: 'READY' | 'DENIED' | 'NOT_FOUND' | 'UNAVAILABLE'
  /** Keyed version of what was given. */
  readonly version?: string
}

/** Everything that is audited, as a closed set. */
export const auditEvents = [
  'stream.open',
  'stream.refused',
  'stream.end',
  'token.refreshed',
  'token.refused',
  'secret.allowed',
  'secret.denied',
  'secret.revoked',
  'set.delivered',
  'set.acknowledged',
  'pod.concurrent',
  'pod.address',
  'status.read',
  'status.refused',
  'pod.injected',
  'pod.refused',
  'pod.left',
  'workload.refused',
] as const

/** One of {@link auditEvents}. */
export type AuditEventName = (typeof auditEvents)[number]

/** Something that happened. */
export interface AuditEvent {
  readonly event: AuditEventName
  readonly outcome: 'allowed' | 'denied' | 'done' | 'failed'
  /** Why it was not allowed or failed. */
  readonly why?: ErrorCode
  readonly who?: AuditSubject
  /** Address of the peer. */
  readonly peer?: string
  readonly what?: readonly AuditItem[]
  /** Version of the set. */
  readonly set?: string
  /** Who asked the API server for what was admitted or refused. */
  readonly requester?: string
  /** Digest of a pod's plan, which is public. */
  readonly plan?: string
  /** A word from a closed set of ours, for what the other members cannot say. */
  readonly detail?: string
}

/**
 * PORT. Where decisions are written down before they take effect.
 */
export interface AuditSink {
  /**
   * Records what must not happen unrecorded. Resolves once the event has reached the system, and
   * would survive the death of this process.
   *
   * @throws `ERR_AUDIT_UNAVAILABLE` when it cannot be recorded: at once while the sink is known to be
   * failing, and within seconds when the file does not answer. What it would have allowed must not
   * happen. It is then not recorded later either, unless it was being written when the file stopped
   * answering.
   */
  admit(event: AuditEvent): Promise<void>
  /**
   * Records what happens anyhow: a refusal, a withdrawal, an end. Waits in a bounded queue while the
   * sink fails, and is counted as lost beyond it.
   */
  note(event: AuditEvent): void
  /** Whether the last attempt to write succeeded. */
  readonly healthy: boolean
  /** Writes what is left, with a final checkpoint. */
  close(): Promise<void>
}

/** A sink for programs that were told to keep no audit. */
export const noAudit: AuditSink = {
  admit: async () => undefined,
  note: () => undefined,
  healthy: true,
  close: async () => undefined,
}
