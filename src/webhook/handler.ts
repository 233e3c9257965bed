import type { Clock } from '../base/clock.ts'
import { isLatchkeyError } from '../base/errors.ts'
import { readPodFacts } from '../injection/pod/facts.ts'
import type { MountEntry, MountPlan } from '../injection/plan.ts'
import { parseTemplate, templateKeys } from '../injection/template.ts'
import {
  maxAuditedKeys,
  type AuditEvent,
  type AuditItem,
  type AuditSink,
} from '../observe/audit.ts'
import type { Log } from '../observe/log.ts'
import { admit, type AdmissionDeps } from './admit.ts'
import { refuse, type Decision, type Outcome } from './decision.ts'
import type { WebhookEvent } from './events.ts'
import type { WebhookMetrics } from './metrics.ts'
import { printReview, readReview, type AdmissionRequest } from './review.ts'

/** What the handler needs from outside. */
export interface HandlerDeps {
  readonly admission: AdmissionDeps
  readonly audit: AuditSink
  readonly metrics: WebhookMetrics
  readonly log: Log<WebhookEvent>
  readonly clock: Pick<Clock, 'monotonicMs'>
}

/**
 * Answers the body of an admission request: decides, writes the decision down, then tells it.
 *
 * An injection that cannot be written down is refused; whatever else is decided gives nothing to
 * anybody and is told all the same.
 *
 * @throws `ERR_MESSAGE_INVALID`.
 */
export async function answerReview(body: string, deps: HandlerDeps): Promise<string> {
  const startedAt = deps.clock.monotonicMs()
  const request = readReview(body)
  const decision = await writeDown(request, admit(request, deps.admission), deps)
  if (eventOf(request, decision) !== undefined) {
    deps.log.info('webhook.admitted', {
      outcome: decision.outcome,
      operation: request.operation,
      resource: request.resource,
      namespace: request.namespace,
      name: request.name,
      requester: request.username,
      dryRun: request.dryRun,
      secrets: decision.plan?.plan.entries.map(({ secret }) => secret),
      plan: decision.plan?.digest,
      why: decision.why,
    })
  }
  deps.metrics.admitted(request.resource === 'pods' ? 'pod' : 'workload', {
    outcome: decision.outcome,
    dryRun: request.dryRun,
    seconds: (deps.clock.monotonicMs() - startedAt) / 1000,
  })
  return printReview(request.uid, decision.answer)
}

async function writeDown(
  request: AdmissionRequest,
  decision: Decision,
  { audit }: HandlerDeps,
): Promise<Decision> {
  const event = eventOf(request, decision)
  if (event === undefined) return decision
  if (decision.outcome !== 'injected' || request.dryRun) {
    audit.note(event)
    return decision
  }
  try {
    await audit.admit(event)
    return decision
  } catch (error) {
    if (!isLatchkeyError(error, 'ERR_AUDIT_UNAVAILABLE')) throw error
    return refuse("Latchkey's audit cannot be written now; try again later", error.code)
  }
}

const names: Readonly<Record<Exclude<Outcome, 'accepted'>, AuditEvent['event']>> = {
  injected: 'pod.injected',
  refused: 'pod.refused',
  left: 'pod.left',
}

/** What is written down; nothing about workloads that are all right, as their pods come here too. */
function eventOf(request: AdmissionRequest, decision: Decision): AuditEvent | undefined {
  const { outcome, why, plan } = decision
  const isPod = request.resource === 'pods'
  if (outcome === 'accepted' || (!isPod && outcome === 'left')) return undefined
  return {
    event: isPod ? names[outcome] : 'workload.refused',
    outcome: outcome === 'refused' ? 'denied' : 'allowed',
    ...(why === undefined ? {} : { why }),
    who: {
      namespace: request.namespace,
      account: isPod ? readPodFacts(request.object).serviceAccount : '',
      pod: request.name,
    },
    requester: request.username,
    ...(plan === undefined ? {} : { what: itemsOf(plan.plan), plan: plan.digest }),
    detail: [request.operation.toLowerCase(), ...(request.dryRun ? ['dry-run'] : [])].join(' '),
  }
}

function itemsOf({ entries }: MountPlan): readonly AuditItem[] {
  return entries.map((entry) => {
    const keys = keysOf(entry)
    const more = keys.length - maxAuditedKeys
    return {
      secret: entry.secret,
      keys: keys.slice(0, maxAuditedKeys),
      ...(more > 0 ? { moreKeys: more } : {}),
    }
  })
}

function keysOf({ content }: MountEntry): readonly string[] {
  if (content.kind === 'key') return [content.key]
  if (content.kind !== 'template') return []
  const parsed = parseTemplate(content.template)
  return 'parts' in parsed ? templateKeys(parsed.parts) : []
}
