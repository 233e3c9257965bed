/**
 * Every way in which Latchkey fails, as a closed set. Callers branch on the code; the message is
 * for people. A code is never renamed once released.
 */
export type ErrorCode =
  // use
  | 'ERR_USAGE'
  | 'ERR_CONFIG_INVALID'
  | 'ERR_WOULD_LOSE_DATA'
  // the machine
  | 'ERR_IO'
  | 'ERR_DISK_FULL'
  | 'ERR_ABORTED'
  | 'ERR_DEADLINE'
  | 'ERR_BUSY'
  // roots
  | 'ERR_ROOT_NOT_FOUND'
  | 'ERR_ROOT_UNSAFE'
  | 'ERR_ROOT_INVALID'
  | 'ERR_ROOT_WRONG'
  | 'ERR_ROOT_UNAVAILABLE'
  // keyring documents
  | 'ERR_KEYRING_NOT_FOUND'
  | 'ERR_KEYRING_EXISTS'
  | 'ERR_KEYRING_TORN'
  | 'ERR_KEYRING_EDITED'
  | 'ERR_KEYRING_FOREIGN'
  | 'ERR_KEYRING_NEWER_FORMAT'
  | 'ERR_KEYRING_ROLLED_BACK'
  | 'ERR_KEYRING_FORKED'
  | 'ERR_KEYRING_CONFLICT'
  | 'ERR_KEYRING_UNSAFE'
  | 'ERR_KEYRING_FULL'
  | 'ERR_HIGH_WATER_INVALID'
  // keys
  | 'ERR_KEY_UNKNOWN'
  | 'ERR_KEY_DESTROYED'
  | 'ERR_KEY_STATE'
  | 'ERR_KEY_UNUSABLE'
  // envelope
  | 'ERR_CIPHERTEXT_INVALID'
  | 'ERR_CIPHERTEXT_VERSION'
  | 'ERR_ANNOTATION_UNKNOWN'
  | 'ERR_PLAINTEXT_SIZE'
  // backup
  | 'ERR_BACKUP_PASSPHRASE'
  | 'ERR_SHARE_INVALID'
  | 'ERR_SHARE_FOREIGN'
  | 'ERR_SHARE_WRONG'
  | 'ERR_SHARES_TOO_FEW'
  // etcd snapshots, and what API servers keep in etcd
  | 'ERR_SNAPSHOT_INVALID'
  | 'ERR_SNAPSHOT_CHECKSUM'
  | 'ERR_STORED_KEY_MISSING'
  | 'ERR_STORED_MALFORMED'
  | 'ERR_UNEXPECTED'
  // sockets
  | 'ERR_SOCKET_PATH'
  | 'ERR_SOCKET_UNSAFE'
  | 'ERR_SOCKET_IN_USE'
  // files in the pod
  | 'ERR_PLAN_INVALID'
  | 'ERR_NOT_RENDERABLE'
  | 'ERR_TARGET_UNSAFE'
  | 'ERR_TARGET_OWNER'
  | 'ERR_READ_ONLY'
  | 'ERR_HOOK_FAILED'
  // the sidecar's way to its broker
  | 'ERR_TOKEN_INVALID'
  | 'ERR_BROKER_UNREACHABLE'
  | 'ERR_BROKER_UNTRUSTED'
  | 'ERR_BROKER_PROTOCOL'
  | 'ERR_BROKER_REFUSED'
  // secrets and their store
  | 'ERR_SECRET_NAME'
  | 'ERR_SECRET_KEY'
  | 'ERR_SECRET_TOO_LARGE'
  | 'ERR_SECRET_NOT_FOUND'
  | 'ERR_SECRET_STORE_INVALID'
  | 'ERR_SECRET_STORE_CONFLICT'
  | 'ERR_SECRET_STORE_UNSAFE'
  // the API server
  | 'ERR_KUBERNETES_CONFIG'
  | 'ERR_KUBERNETES_UNAVAILABLE'
  | 'ERR_KUBERNETES_UNAUTHENTICATED'
  | 'ERR_KUBERNETES_FORBIDDEN'
  | 'ERR_KUBERNETES_NOT_FOUND'
  | 'ERR_KUBERNETES_CONFLICT'
  | 'ERR_KUBERNETES_GONE'
  | 'ERR_KUBERNETES_REFUSED'
  // etcd
  | 'ERR_ETCD_UNAVAILABLE'
  | 'ERR_ETCD_UNCERTAIN'
  | 'ERR_ETCD_REFUSED'
  | 'ERR_ETCD_COMPACTED'
  | 'ERR_ETCD_TOO_LARGE'
  | 'ERR_ETCD_UNAUTHENTICATED'
  | 'ERR_ETCD_FORBIDDEN'
  // members of a keyring
  | 'ERR_MEMBER_NOT_FOUND'
  | 'ERR_MEMBER_ALIVE'
  | 'ERR_MEMBER_TAKEN'
  | 'ERR_MEMBER_INVALID'
  // TLS and audit
  | 'ERR_TLS_INVALID'
  | 'ERR_CLOCK_DIFFERS'
  | 'ERR_AUDIT_UNAVAILABLE'
  | 'ERR_AUDIT_KEY'
  // delivery: who may not have a stream, and why
  | 'ERR_PROTOCOL_VERSION'
  | 'ERR_MESSAGE_INVALID'
  | 'ERR_TOKEN_REFUSED'
  | 'ERR_TOKEN_EXPIRED'
  | 'ERR_POD_GONE'
  | 'ERR_POD_FINISHED'
  | 'ERR_POD_NOT_INJECTED'
  | 'ERR_PEER_ADDRESS'
  | 'ERR_REVIEW_UNAVAILABLE'
  | 'ERR_LIMIT'
  | 'ERR_FORBIDDEN'

/**
 * The one error class that crosses a room's border.
 *
 * @remarks
 * `message` names fields, kinds and lengths, never values. `hint` is the remedy, one imperative
 * sentence for the person at the terminal. `cause` is for operators' logs and never for callers on
 * the wire.
 */
export class LatchkeyError<Code extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'LatchkeyError'
  readonly code: Code
  readonly hint: string | undefined

  constructor(code: Code, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : {})
    this.code = code
    this.hint = options.hint
  }
}

/** Whether `error` is a {@link LatchkeyError}, and, with `code`, one of that code. */
export function isLatchkeyError<Code extends ErrorCode = ErrorCode>(
  error: unknown,
  code?: Code,
): error is LatchkeyError<Code> {
  return error instanceof LatchkeyError && (code === undefined || error.code === code)
}

/** What to throw once `signal` is aborted: its reason where that is ours, with the hint that it has. */
export function abortedError(signal: AbortSignal): LatchkeyError {
  const reason: unknown = signal.reason
  return isLatchkeyError(reason) ? reason : new LatchkeyError('ERR_ABORTED', 'it was interrupted')
}

/** The `code` of a Node.js system error (`ENOENT`, `ENOSPC`, …), or `undefined`. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/**
 * One line that says what went wrong, for logs: code and message of the error and of its causes,
 * at most five deep, and never `inspect`, which would print fields nobody vetted.
 */
export function describeError(error: unknown): string {
  const parts: string[] = []
  for (let next = error, depth = 0; next !== undefined && depth < 5; depth += 1) {
    if (!(next instanceof Error)) {
      parts.push(`a thrown ${typeof next}`)
      break
    }
    const code = systemCode(next)
    parts.push(code === undefined ? next.message : `${next.message} (${code})`)
    next = next.cause
  }
  return parts.join(': ')
}
