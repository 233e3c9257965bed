import { status } from '@grpc/grpc-js'
import { isLatchkeyError, type ErrorCode } from '../base/errors.ts'
import type { GoodbyeMessage, GoodbyeReason } from './messages.ts'

/** How each reason ends the gRPC call, as broker.proto says. */
export const goodbyeStatus: Readonly<Record<GoodbyeReason, status>> = {
  draining: status.UNAVAILABLE,
  'protocol-version': status.FAILED_PRECONDITION,
  'invalid-message': status.INVALID_ARGUMENT,
  'token-refused': status.UNAUTHENTICATED,
  'token-expired': status.UNAUTHENTICATED,
  'pod-gone': status.PERMISSION_DENIED,
  'pod-finished': status.PERMISSION_DENIED,
  'pod-not-injected': status.PERMISSION_DENIED,
  'peer-address': status.PERMISSION_DENIED,
  superseded: status.ABORTED,
  limit: status.RESOURCE_EXHAUSTED,
  'review-unavailable': status.UNAVAILABLE,
  internal: status.INTERNAL,
}

const reasons: Partial<Record<ErrorCode, GoodbyeReason>> = {
  ERR_PROTOCOL_VERSION: 'protocol-version',
  ERR_MESSAGE_INVALID: 'invalid-message',
  ERR_TOKEN_REFUSED: 'token-refused',
  ERR_TOKEN_EXPIRED: 'token-expired',
  ERR_POD_GONE: 'pod-gone',
  ERR_POD_FINISHED: 'pod-finished',
  ERR_POD_NOT_INJECTED: 'pod-not-injected',
  ERR_PEER_ADDRESS: 'peer-address',
  ERR_LIMIT: 'limit',
  ERR_BUSY: 'limit',
  ERR_DEADLINE: 'invalid-message',
  ERR_REVIEW_UNAVAILABLE: 'review-unavailable',
  ERR_AUDIT_UNAVAILABLE: 'review-unavailable',
}

/** Why a stream ends that failed with `error`. */
export function goodbyeReason(error: unknown): GoodbyeReason {
  return isLatchkeyError(error) ? (reasons[error.code] ?? 'internal') : 'internal'
}

/** A goodbye with the wish that belongs to its reason: the rest is the client's own backoff. */
export function goodbyeOf(reason: GoodbyeReason): GoodbyeMessage {
  const [reconnectMinMs, reconnectMaxMs] = wishes[reason] ?? [0, 0]
  return { reason, reconnectMinMs, reconnectMaxMs }
}

const wishes: Partial<Record<GoodbyeReason, readonly [number, number]>> = {
  limit: [5_000, 30_000],
  'review-unavailable': [1_000, 5_000],
}
