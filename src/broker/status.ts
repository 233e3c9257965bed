import type { Clock } from '../base/clock.ts'
import { LatchkeyError } from '../base/errors.ts'
import type { AuditSink } from '../observe/audit.ts'
import type { Catalog } from './catalog.ts'
import type { Authenticator, Authorizer, Caller } from './identity.ts'
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
}

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
 * @throws `ERR_TOKEN_REFUSED`, `ERR_FORBIDDEN`, `ERR_REVIEW_UNAVAILABLE`, `ERR_AUDIT_UNAVAILABLE`.
 */
export async function deliveryStatus(
  request: StatusRequest,
  deps: StatusDeps,
): Promise<StatusAnswer> {
  const { question, signal } = request
  const caller = await deps.authenticator.reviewCaller(request.token, signal)
  const event = {
    who: { namespace: '', account: caller.user.username },
    peer: request.peer,
    what: [{ secret: `${question.namespace}/${question.secret}`, keys: [] }],
  }
  if (!(await mayAsk(caller, question, { deps, signal }))) {
    deps.audit.note({ event: 'status.refused', outcome: 'denied', why: 'ERR_FORBIDDEN', ...event })
    throw new LatchkeyError('ERR_FORBIDDEN', 'the caller may not list the pods of the namespace')
  }
  await deps.audit.admit({ event: 'status.read', outcome: 'allowed', ...event })
  const { namespace, secret } = question
  return {
    replica: { replica: deps.replica, version: deps.catalog.versionOf(namespace, secret) },
    pods: podStatuses(question, deps),
  }
}

function mayAsk(
  caller: Caller,
  { namespace }: StatusQuestion,
  { deps, signal }: { readonly deps: StatusDeps; readonly signal: AbortSignal },
): Promise<boolean> {
  return deps.authorizer.mayListPods(caller, namespace, signal)
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
