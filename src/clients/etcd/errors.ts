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
const badToken = 'etcdserver: invalid auth token'
const denied = 'etcdserver: permission denied'
const learner = 'etcdserver: rpc not supported for learner'
/** The users have changed between the question and its turn, which then is not taken. */
const usersChanged = 'etcdserver: revision of auth store is old'
const tooMany = 'etcdserver: too many requests'

/** What is said before anything is begun, whatever the gRPC code, which some releases have changed. */
const notTried: ReadonlySet<string> = new Set([noLeader, learner, usersChanged, tooMany])

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
  [learner]: 'name members that vote: a learner answers nothing until it is promoted',
  [tooMany]: 'etcd has more to do than it can; repeat the command later',
  [usersChanged]: 'the users of etcd have just been changed; repeat the command',
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

/** Whether etcd says that nothing was tried, so that a write too may be sent again. */
export function isNotTried(error: unknown): boolean {
  return notTried.has(detailsOf(error))
}

/** Why a watch was ended, as etcd says it in the watch's own message. */
export function endedWatch(reason: string, endpoint: string): LatchkeyError {
  // It is the text of an error, and no error.
  const details = reason.replace(/^rpc error: code = \w+ desc = /, '')
  const code = details === denied ? status.PERMISSION_DENIED : status.FAILED_PRECONDITION
  return etcdError({ code, details }, { method: 'the watch', endpoint, sentWrite: false })
}

/** A failed call as an error of ours. etcd's own words name no value of a key, and are cut and cleaned. */
export function etcdError(error: unknown, asked: Asked): LatchkeyError {
  if (isLatchkeyError(error)) return error
  const details = detailsOf(error)
  const said = details === '' ? '' : `: ${details}`
  const where = `etcd ${asked.endpoint}`
  const code = codeOf(error)
  if (code === status.OUT_OF_RANGE && details === compacted) {
    return new LatchkeyError('ERR_ETCD_COMPACTED', `${where} has compacted the revision away`, {
      hint: 'repeat the command; where reading all of etcd takes longer than the five minutes after which API servers compact it, read a file of "etcdctl snapshot save" instead',
    })
  }
  if (code === status.UNAUTHENTICATED || details === noUser || details === badToken) {
    return new LatchkeyError('ERR_ETCD_UNAUTHENTICATED', `${where} does not know who is asking`, {
      hint: 'give --etcd-cert and --etcd-key whose common name is a user of etcd, and see that etcd runs with --client-cert-auth: names with passwords are not used',
    })
  }
  if (code === status.PERMISSION_DENIED) {
    return new LatchkeyError('ERR_ETCD_FORBIDDEN', `${where} does not permit ${asked.method}`, {
      hint: 'give the user that the client certificate names a role for the keys: etcdctl role grant-permission ROLE --prefix=true readwrite PREFIX/; for what reads all of etcd, ROLE --from-key=true read ""',
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
  if (asked.sentWrite && !isNotTried(error)) {
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
