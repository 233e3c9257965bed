import { status, type ServiceError } from '@grpc/grpc-js'
import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import { printable } from './codec.ts'

// Texts of etcd's api/v3rpc/rpctypes/error.go that its own clients tell apart by: the gRPC code is the
// same for other things.
const compacted = 'etcdserver: mvcc: required revision has been compacted'
const noLeader = 'etcdserver: no leader'
const noSpace = 'etcdserver: mvcc: database space exceeded'
const tooLarge = 'etcdserver: request is too large'
const noUser = 'etcdserver: user name is empty'

const unanswered: ReadonlySet<status> = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.UNKNOWN,
  status.INTERNAL,
  status.ABORTED,
])

const hints: Readonly<Partial<Record<string, string>>> = {
  [noSpace]: 'compact and defragment etcd, then disarm the alarm: etcdctl alarm disarm',
  [tooLarge]: 'raise --max-request-bytes of etcd',
}

/** What was asked of whom, for messages. */
export interface Asked {
  /** Name of the call, `Range`. */
  readonly method: string
  /** The member that was asked. */
  readonly endpoint: string
  /** Whether it would have changed something and may have been sent. */
  readonly sentWrite: boolean
}

/** Whether another member may answer what this one did not. */
export function isUnanswered(error: unknown): boolean {
  return unanswered.has(codeOf(error))
}

/** Whether etcd says that nothing was tried, since the member sees no leader. */
export function isRefusedForLeader(error: unknown): boolean {
  return detailsOf(error) === noLeader
}

/** A failed call as an error of ours. etcd's own words name no value of a key, and are cut and cleaned. */
export function etcdError(error: unknown, asked: Asked): LatchkeyError {
  if (isLatchkeyError(error)) return error
  const details = detailsOf(error)
  const said = details === '' ? '' : `: ${details}`
  const where = `etcd ${asked.endpoint}`
  const code = codeOf(error)
  if (code === status.OUT_OF_RANGE && details === compacted) {
    return new LatchkeyError('ERR_ETCD_COMPACTED', `${where} has compacted the revision away`)
  }
  if (code === status.UNAUTHENTICATED || details === noUser) {
    return new LatchkeyError('ERR_ETCD_UNAUTHENTICATED', `${where} does not know who is asking`, {
      hint: 'give --etcd-cert and --etcd-key whose common name is a user of etcd',
    })
  }
  if (code === status.PERMISSION_DENIED) {
    return new LatchkeyError('ERR_ETCD_FORBIDDEN', `${where} does not permit ${asked.method}`, {
      hint: 'grant the user that the client certificate names a role for the keys: etcdctl role grant-permission',
    })
  }
  if (code === status.RESOURCE_EXHAUSTED && !details.startsWith('etcdserver:')) {
    return new LatchkeyError(
      'ERR_ETCD_TOO_LARGE',
      `${where} answered ${asked.method} with more than is taken at once`,
    )
  }
  const hint = hints[details]
  if (!isUnanswered(error)) {
    return new LatchkeyError('ERR_ETCD_REFUSED', `${where} refused ${asked.method}${said}`, {
      ...(hint === undefined ? {} : { hint }),
    })
  }
  if (asked.sentWrite && !isRefusedForLeader(error)) {
    return new LatchkeyError(
      'ERR_ETCD_UNCERTAIN',
      `${where} did not say whether ${asked.method} was done${said}`,
      { hint: 'it may have been: look at what is there before you repeat the command' },
    )
  }
  return new LatchkeyError('ERR_ETCD_UNAVAILABLE', `${where} did not answer${said}`, {
    hint: 'check that etcd has a quorum and is reachable, and look at --etcd-ca, --etcd-cert and --etcd-key',
  })
}

function codeOf(error: unknown): status {
  const { code } = error as Partial<ServiceError>
  return typeof code === 'number' ? code : status.UNKNOWN
}

function detailsOf(error: unknown): string {
  const { details } = error as Partial<ServiceError>
  return printable(details ?? '')
}
