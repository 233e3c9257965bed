import type { Clock } from '../base/clock.ts'
import { isLatchkeyError, LatchkeyError } from '../base/errors.ts'
import { createSemaphore, type Semaphore } from '../base/semaphore.ts'
import type { AuditEvent, AuditSink } from '../observe/audit.ts'
import { createRateLimit, type RateLimit } from '../observe/rate-limit.ts'
import type { Catalog } from './catalog.ts'
import type { Authenticator, Authorizer } from './identity.ts'
import type { PodStatus, ReplicaStatus, StatusQuestion } from './messages.ts'
import type { PodStream } from './stream.ts'
import type { Streams } from './streams.ts'

/** What {@link deliveryStatus} needs. */
export interface StatusDeps {
  readonly authenticator: Authenticator
  readonly authorizer: Authorizer
  readonly catalog: Catalog
  readonly streams: Streams
  readonly audit: AuditSink
  readonly clock: Clock
  readonly replica: string
  /** Bounds the questions that are put to the API server. */
  readonly asking: Semaphore
  /** Refusals of one caller are recorded this seldom. */
  readonly refusals: RateLimit
}

/** What bounds questions about status, for one broker. */
export function statusLimits(
  clock: Pick<Clock, 'monotonicMs'>,
): Pick<StatusDeps, 'asking' | 'refusals'> {
  return {
    asking: createSemaphore({ concurrent: 4, waiting: 64 }),
    refusals: createRateLimit({ intervalMs: 1_000, clock }),
  }
}

/** What the audit has of a question. */
type StatusEvent = Required<Pick<AuditEvent, 'who' | 'peer' | 'what'>>

/** Who asks for the delivery status, what for, and until when. */
export interface StatusRequest {
  /** The caller's token. */
  readonly token: Uint8Array
  readonly question: StatusQuestion
  readonly peer: string
  readonly signal: AbortSignal
}

/** What this replica knows of the delivery of one secret. */
export interface StatusAnswer {
  readonly replica: ReplicaStatus
  readonly pods: Iterable<PodStatus>
}

/**
 * Which of this replica's pods have which version of a secret, for whoever may list the pods of its
 * namespace: it says no more than which pods asked for the secret and how that went.
 *
 * @throws `ERR_TOKEN_REFUSED`, `ERR_FORBIDDEN`, `ERR_REVIEW_UNAVAILABLE`, `ERR_AUDIT_UNAVAILABLE`,
 * `ERR_BUSY`.
 */
export async function deliveryStatus(
  request: StatusRequest,
  deps: StatusDeps,
): Promise<StatusAnswer> {
  const { question, signal } = request
  const event = await deps.asking.run(() => admit(request, deps), signal)
  await deps.audit.admit({ event: 'status.read', outcome: 'allowed', ...event })
  const { namespace, secret } = question
  return {
    replica: { replica: deps.replica, version: deps.catalog.versionOf(namespace, secret) },
    pods: podStatuses(question, deps),
  }
}

/** Who asks what, for the audit, once that is known to be allowed. */
async function admit(request: StatusRequest, deps: StatusDeps): Promise<StatusEvent> {
  const { question, peer, signal } = request
  const what = [{ secret: `${question.namespace}/${question.secret}`, keys: [] }]
  let account = ''
  try {
    const caller = await deps.authenticator.reviewCaller(request.token, signal)
    account = caller.user.username
    if (await deps.authorizer.mayListPods(caller, question.namespace, signal)) {
      return { who: { namespace: '', account }, peer, what }
    }
    throw new LatchkeyError('ERR_FORBIDDEN', 'the caller may not list the pods of the namespace')
  } catch (error) {
    if (isLatchkeyError(error)) noteRefusal(error, { event: { peer, what }, account, deps })
    throw error
  }
}

function noteRefusal(
  error: LatchkeyError,
  about: {
    readonly event: Omit<StatusEvent, 'who'>
    readonly account: string
    readonly deps: StatusDeps
  },
): void {
  const { event, account, deps } = about
  if (error.code !== 'ERR_FORBIDDEN' && error.code !== 'ERR_TOKEN_REFUSED') return
  const admitted = deps.refusals.admit(`${event.peer} ${error.code} ${account}`)
  if (admitted === undefined) return
  deps.audit.note({
    event: 'status.refused',
    outcome: 'denied',
    why: error.code,
    ...(account === '' ? {} : { who: { namespace: '', account } }),
    ...(admitted.heldBack === 0 ? {} : { detail: `and ${admitted.heldBack} before` }),
    ...event,
  })
}

function* podStatuses(question: StatusQuestion, deps: StatusDeps): Generator<PodStatus> {
  for (const stream of deps.streams) {
    const { account } = stream.session.identity
    if (account.namespace !== question.namespace) continue
    const index = stream.cohort.references.findIndex(({ secret }) => secret === question.secret)
    if (index >= 0) yield podStatus(stream, index, deps.clock.monotonicMs())
  }
}

function podStatus(stream: PodStream, index: number, nowMs: number): PodStatus {
  const { account, pod, nodeName } = stream.session.identity
  const item = stream.cohort.current?.items[index]
  const { acknowledged } = stream.delivery
  return {
    podUid: pod.uid,
    podName: pod.name,
    serviceAccount: account.name,
    nodeName,
    status: item?.status ?? 'unavailable',
    unavailableReason: item?.reason ?? 'unspecified',
    version: item?.version ?? '',
    current: item !== undefined && stream.delivery.isCurrent(index, item),
    outcome: acknowledged?.outcome ?? 'unspecified',
    acknowledgedMsAgo: acknowledged === undefined ? 0 : nowMs - acknowledged.atMs,
    staleMs: stream.staleMs(),
  }
}
