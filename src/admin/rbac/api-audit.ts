import { listOf, objectOf, textOf, type JsonObject } from '../../clients/kubernetes-objects.ts'
import { isNamespaceName } from '../../secrets/reference.ts'
import {
  accountOfUser,
  isReference,
  mountAct,
  mountVerb,
  type Act,
  type Outcome,
  type ServiceAccount,
} from './act.ts'
import type { Ledger } from './ledger.ts'

/** Whose requests are looked at. */
export interface ApiAuditInterest {
  /** The broker, whose SubjectAccessReviews tell what was delivered to whom. */
  readonly broker: ServiceAccount
  /** Accounts whose own requests are to be allowed. */
  readonly accounts: readonly ServiceAccount[]
}

/** What a log of the API server held. */
export interface ApiAuditCounts {
  /** Events of any user. */
  events: number
  /** Reviews by the broker whose content the audit policy left out. */
  reviewsWithoutContent: number
}

/**
 * Takes a line of kube-apiserver's audit log (audit.k8s.io/v1, one Event or EventList each) into the
 * ledger.
 *
 * @returns whether it is such a line.
 */
export function takeApiLine(
  line: Uint8Array,
  into: {
    readonly ledger: Ledger
    readonly interest: ApiAuditInterest
    readonly counts: ApiAuditCounts
  },
): boolean {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(line).toString('utf8'))
  } catch {
    return false
  }
  const object = objectOf(value)
  if (!textOf(object, 'apiVersion').startsWith('audit.k8s.io/')) return false
  if (textOf(object, 'kind') === 'EventList') {
    for (const item of listOf(object, 'items')) takeEvent(objectOf(item), into)
    return true
  }
  return textOf(object, 'kind') === 'Event' && takeEvent(object, into)
}

function takeEvent(event: JsonObject, into: Parameters<typeof takeApiLine>[1]): boolean {
  const { ledger, interest, counts } = into
  const timeMs = Date.parse(textOf(event, 'requestReceivedTimestamp'))
  if (Number.isNaN(timeMs)) return false
  counts.events += 1
  ledger.cover('api', timeMs)
  const stage = textOf(event, 'stage')
  // A watch that still goes on when the log ends has only started to answer.
  if (stage !== 'ResponseComplete' && stage !== 'ResponseStarted') return true
  const impersonated = objectOf(event['impersonatedUser'])
  const user = 'username' in impersonated ? impersonated : objectOf(event['user'])
  const account = accountOfUser(user['username'])
  if (account === undefined) return true
  if (isReview(event) && same(account, interest.broker)) takeReview(event, timeMs, into)
  if (interest.accounts.some((each) => same(each, account))) {
    const act = actOf(event, account)
    if (act !== undefined) ledger.record(act, outcomeOf(event), timeMs)
  }
  return true
}

function isReview(event: JsonObject): boolean {
  const reference = objectOf(event['objectRef'])
  return (
    textOf(reference, 'resource') === 'subjectaccessreviews' && textOf(event, 'verb') === 'create'
  )
}

/** What the broker asked about an account is what that account did: it asked for a secret. */
function takeReview(
  event: JsonObject,
  timeMs: number,
  { ledger, counts }: Parameters<typeof takeApiLine>[1],
): void {
  const spec = objectOf(objectOf(event['requestObject'])['spec'])
  const attributes = objectOf(spec['resourceAttributes'])
  if (!('resourceAttributes' in spec)) {
    counts.reviewsWithoutContent += 1
    return
  }
  ledger.cover('mount', timeMs)
  const account = accountOfUser(spec['user'])
  const secret = textOf(attributes, 'name')
  const isMount =
    textOf(attributes, 'verb') === mountVerb &&
    textOf(attributes, 'resource') === 'secrets' &&
    textOf(attributes, 'group') === ''
  if (account === undefined || !isMount || !isReference(secret)) return
  if (textOf(attributes, 'namespace') !== account.namespace) return
  const answer = objectOf(objectOf(event['responseObject'])['status'])['allowed']
  const outcome = answer === true ? 'allowed' : answer === false ? 'denied' : 'unknown'
  const grantee = { namespace: account.namespace, serviceAccount: account.name }
  ledger.record(mountAct(grantee, secret), outcome, timeMs)
}

function outcomeOf(event: JsonObject): Outcome {
  const decision = objectOf(event['annotations'])['authorization.k8s.io/decision']
  if (decision === 'allow') return 'allowed'
  if (decision === 'forbid') return 'denied'
  const code = objectOf(event['responseStatus'])['code']
  if (typeof code !== 'number') return 'unknown'
  return code === 401 || code === 403 ? 'denied' : 'allowed'
}

/** Objects whose names are made by controllers: a rule that names one is of no use tomorrow. */
const passingNames: ReadonlySet<string> = new Set([
  'pods',
  'events',
  'replicasets',
  'controllerrevisions',
  'endpointslices',
])

/** What everybody who is authenticated may do (system:discovery, system:basic-user). */
const everybodys = /^\/(?:healthz|livez|readyz|version|api|apis|openapi|\.well-known)(?:\/|$)/
const selfReviews = /^self(?:subject(?:access|rules)?reviews)$/

/** What an account did, where a rule can say it and nothing more. */
function actOf(event: JsonObject, account: ServiceAccount): Act | undefined {
  const act = readAct(event, account)
  if (act === undefined) return undefined
  const { verb, apiGroup, resource, namespace, path } = act
  // Whoever asks for what is written like a wildcard is not to be given all that a rule means by it.
  if ([verb, apiGroup, resource, path].some((part) => part.includes('*'))) return undefined
  return namespace === '' || isNamespaceName(namespace) ? act : undefined
}

function readAct(event: JsonObject, account: ServiceAccount): Act | undefined {
  const verb = textOf(event, 'verb')
  const reference = objectOf(event['objectRef'])
  const kind = textOf(reference, 'resource')
  if (kind === '') {
    const [path = ''] = textOf(event, 'requestURI').split('?')
    if (path === '' || everybodys.test(path)) return undefined
    return { account, verb, apiGroup: '', resource: '', namespace: '', name: '', path }
  }
  if (selfReviews.test(kind)) return undefined
  const subresource = textOf(reference, 'subresource')
  // No rule can name an object that is yet to be, or a collection.
  const nameless = (verb === 'create' && subresource === '') || verb === 'deletecollection'
  return {
    account,
    verb,
    apiGroup: textOf(reference, 'apiGroup'),
    resource: subresource === '' ? kind : `${kind}/${subresource}`,
    namespace: textOf(reference, 'namespace'),
    name: nameless || passingNames.has(kind) ? '' : textOf(reference, 'name'),
    path: '',
  }
}

function same(a: ServiceAccount, b: ServiceAccount): boolean {
  return a.namespace === b.namespace && a.name === b.name
}
