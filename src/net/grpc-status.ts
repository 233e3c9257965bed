import { status } from '@grpc/grpc-js'
import { isLatchkeyError, type ErrorCode } from '../base/errors.ts'

/** What a gRPC caller is told. */
export interface GrpcFailure {
  readonly code: status
  /** A fixed sentence and our error code: no path, no upstream text, nothing of the request. */
  readonly details: string
}

const internal = [status.INTERNAL, 'internal error'] as const
const noKeyring = [status.UNAVAILABLE, 'no usable keyring is loaded'] as const
const noRoot = [status.UNAVAILABLE, 'the keyring cannot be opened now'] as const

/**
 * How each of our errors looks to a gRPC caller. These texts end up in `kubectl get`, so they are
 * fixed. An error that has no business on the wire is INTERNAL.
 */
const failures: Readonly<Record<ErrorCode, readonly [status, string]>> = {
  ERR_USAGE: internal,
  ERR_CONFIG_INVALID: internal,
  ERR_WOULD_LOSE_DATA: internal,
  ERR_IO: internal,
  ERR_DISK_FULL: internal,
  ERR_ABORTED: [status.CANCELLED, 'the call was cancelled'],
  ERR_DEADLINE: [status.DEADLINE_EXCEEDED, 'the deadline passed before the call was answered'],
  ERR_BUSY: [status.RESOURCE_EXHAUSTED, 'too many requests are in flight'],
  ERR_ROOT_NOT_FOUND: noRoot,
  ERR_ROOT_UNSAFE: noRoot,
  ERR_ROOT_INVALID: noRoot,
  ERR_ROOT_WRONG: noRoot,
  ERR_ROOT_UNAVAILABLE: noRoot,
  ERR_KEYRING_NOT_FOUND: noKeyring,
  ERR_KEYRING_EXISTS: internal,
  ERR_KEYRING_TORN: noKeyring,
  ERR_KEYRING_EDITED: noKeyring,
  ERR_KEYRING_FOREIGN: noKeyring,
  ERR_KEYRING_NEWER_FORMAT: noKeyring,
  ERR_KEYRING_ROLLED_BACK: noKeyring,
  ERR_KEYRING_FORKED: noKeyring,
  ERR_KEYRING_CONFLICT: noKeyring,
  ERR_KEYRING_UNSAFE: noKeyring,
  ERR_HIGH_WATER_INVALID: noKeyring,
  ERR_KEY_UNKNOWN: [status.NOT_FOUND, 'the key id is not in the keyring'],
  ERR_KEY_DESTROYED: [status.FAILED_PRECONDITION, 'the key was destroyed'],
  ERR_KEY_STATE: internal,
  ERR_KEY_UNUSABLE: [status.UNAVAILABLE, 'the key failed its self-test'],
  ERR_CIPHERTEXT_INVALID: [status.INVALID_ARGUMENT, 'the ciphertext cannot be opened'],
  ERR_CIPHERTEXT_VERSION: [status.INVALID_ARGUMENT, 'the ciphertext has an unknown format version'],
  ERR_ANNOTATION_UNKNOWN: [status.INVALID_ARGUMENT, 'the request has an annotation not of ours'],
  ERR_PLAINTEXT_SIZE: [status.INVALID_ARGUMENT, 'the plaintext is empty or too long'],
  ERR_KEYRING_FULL: internal,
  ERR_BACKUP_PASSPHRASE: internal,
  ERR_SHARE_INVALID: internal,
  ERR_SHARE_FOREIGN: internal,
  ERR_SHARE_WRONG: internal,
  ERR_SHARES_TOO_FEW: internal,
  ERR_SNAPSHOT_INVALID: internal,
  ERR_SNAPSHOT_CHECKSUM: internal,
  ERR_STORED_KEY_MISSING: internal,
  ERR_STORED_MALFORMED: internal,
  ERR_UNEXPECTED: internal,
  ERR_SOCKET_PATH: internal,
  ERR_SOCKET_UNSAFE: internal,
  ERR_SOCKET_IN_USE: internal,
  ERR_PLAN_INVALID: internal,
  ERR_NOT_RENDERABLE: internal,
  ERR_TARGET_UNSAFE: internal,
  ERR_TARGET_OWNER: internal,
  ERR_READ_ONLY: internal,
  ERR_HOOK_FAILED: internal,
  ERR_TOKEN_INVALID: internal,
  ERR_BROKER_UNREACHABLE: internal,
  ERR_BROKER_UNTRUSTED: internal,
  ERR_BROKER_PROTOCOL: internal,
  ERR_BROKER_REFUSED: internal,
  ERR_SECRET_NAME: internal,
  ERR_SECRET_KEY: internal,
  ERR_SECRET_TOO_LARGE: internal,
  ERR_SECRET_NOT_FOUND: internal,
  ERR_SECRET_STORE_INVALID: internal,
  ERR_SECRET_STORE_CONFLICT: internal,
  ERR_SECRET_STORE_UNSAFE: internal,
  ERR_KUBERNETES_CONFIG: internal,
  ERR_KUBERNETES_UNAVAILABLE: internal,
  ERR_KUBERNETES_UNAUTHENTICATED: internal,
  ERR_KUBERNETES_FORBIDDEN: internal,
  ERR_KUBERNETES_NOT_FOUND: internal,
  ERR_KUBERNETES_CONFLICT: internal,
  ERR_KUBERNETES_GONE: internal,
  ERR_KUBERNETES_REFUSED: internal,
  ERR_ETCD_UNAVAILABLE: noKeyring,
  ERR_ETCD_UNCERTAIN: internal,
  ERR_ETCD_REFUSED: internal,
  ERR_ETCD_COMPACTED: internal,
  ERR_ETCD_TOO_LARGE: internal,
  ERR_ETCD_UNAUTHENTICATED: internal,
  ERR_ETCD_FORBIDDEN: internal,
  ERR_MEMBER_NOT_FOUND: internal,
  ERR_MEMBER_ALIVE: internal,
  ERR_MEMBER_TAKEN: internal,
  ERR_MEMBER_INVALID: internal,
  ERR_TLS_INVALID: internal,
  ERR_CLOCK_DIFFERS: internal,
  ERR_AUDIT_UNAVAILABLE: internal,
  ERR_AUDIT_KEY: internal,
  ERR_PROTOCOL_VERSION: [status.FAILED_PRECONDITION, 'the protocol version is not spoken here'],
  ERR_MESSAGE_INVALID: [status.INVALID_ARGUMENT, 'the message breaks a rule of the protocol'],
  ERR_TOKEN_REFUSED: [status.UNAUTHENTICATED, 'the token is not accepted'],
  ERR_TOKEN_EXPIRED: [status.UNAUTHENTICATED, 'the token has expired'],
  ERR_POD_GONE: [status.PERMISSION_DENIED, 'the pod is not there, or not as the token says'],
  ERR_POD_FINISHED: [status.PERMISSION_DENIED, 'the pod has finished'],
  ERR_POD_NOT_INJECTED: [status.PERMISSION_DENIED, 'the pod was not injected as it says'],
  ERR_PEER_ADDRESS: [status.PERMISSION_DENIED, 'the connection is not from the pod'],
  ERR_REVIEW_UNAVAILABLE: [status.UNAVAILABLE, 'the review cannot be made at the moment'],
  ERR_LIMIT: [status.RESOURCE_EXHAUSTED, 'too many streams'],
  ERR_FORBIDDEN: [status.PERMISSION_DENIED, 'not allowed'],
}

/**
 * What a gRPC caller is told about `error`. Whatever is not ours is `INTERNAL: internal error`; the
 * caller of this function logs the rest.
 */
export function toGrpcFailure(error: unknown): GrpcFailure {
  if (!isLatchkeyError(error)) return { code: internal[0], details: internal[1] }
  const [code, sentence] = failures[error.code]
  return { code, details: `${sentence} (${error.code})` }
}
