import type { Answer } from '../../../clients/kubernetes-exchange.ts'
import { listOf, objectOf, textOf } from '../../../clients/kubernetes-objects.ts'
import { listedObject, type ListedObject } from './listing.ts'
import type { RefusalCause } from './report.ts'

/** What to make of an answer to a patch. */
export type Verdict =
  /** Done, and this is the object now. */
  | { readonly kind: 'answered'; readonly object: ListedObject }
  | { readonly kind: 'gone' }
  /** Another object of this name may be there now, or somebody else wrote at the same moment. */
  | { readonly kind: 'conflict' }
  | { readonly kind: 'retry'; readonly cause: RefusalCause; readonly detail: string }
  | { readonly kind: 'refused'; readonly cause: RefusalCause; readonly detail: string }
  | { readonly kind: 'unauthenticated' }

/**
 * Reads the answer to an empty merge patch, or to a request for the object's metadata.
 *
 * @remarks
 * What is done about an object depends on status codes and on the structure of the Status alone; from
 * its text nothing but the names of webhooks and policies is taken, as the text may repeat values.
 */
export function judge(answer: Answer): Verdict {
  const { status } = answer
  const body = parse(answer.body)
  if (status === 200) {
    return { kind: 'answered', object: listedObject(body) }
  }
  const named = admissionName(textOf(body, 'message'))
  switch (status) {
    case 401:
      return { kind: 'unauthenticated' }
    case 404:
      return { kind: 'gone' }
    case 409:
      return { kind: 'conflict' }
    case 405:
    case 415:
      return { kind: 'refused', cause: 'no-api', detail: 'the API has no merge patch' }
    case 400:
    case 403:
      return { kind: 'refused', cause: 'admission', detail: named ?? `status ${status}` }
    case 422: {
      const fields = fieldsOf(body)
      // How the uid as a precondition fails (apimachinery ValidateObjectMetaAccessorUpdate).
      if (fields.includes('metadata.uid')) return { kind: 'conflict' }
      return named === undefined && fields.length > 0
        ? { kind: 'refused', cause: 'invalid', detail: fields.join(', ') }
        : { kind: 'refused', cause: 'admission', detail: named ?? 'status 422' }
    }
  }
  if (status === 429 || status >= 500) {
    return named === undefined
      ? { kind: 'retry', cause: 'server-error', detail: `status ${status}` }
      : { kind: 'retry', cause: 'admission', detail: `${named} cannot be asked` }
  }
  return { kind: 'refused', cause: 'admission', detail: named ?? `status ${status}` }
}

function parse(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    return objectOf(JSON.parse(body.toString('utf8')))
  } catch {
    return {}
  }
}

const maxFields = 5

/** Paths of the fields that do not pass, at most five; never what is in them. */
function fieldsOf(body: Readonly<Record<string, unknown>>): readonly string[] {
  const causes = listOf(objectOf(body['details']), 'causes').map(objectOf)
  const fields = causes
    .map((cause) => textOf(cause, 'field'))
    .filter((field) => /^[\w.[\]()*-]{1,200}$/.test(field))
  return [...new Set(fields)].slice(0, maxFields)
}

const name = '[A-Za-z0-9._:-]{1,253}'
const webhook = new RegExp(`(?:admission|calling) webhook "(${name})"`)
const policy = new RegExp(`ValidatingAdmissionPolicy '(${name})'(?: with binding '(${name})')?`)

/** The webhook or policy that a message names (apiserver `pkg/admission/plugin`, webhook and policy). */
function admissionName(message: string): string | undefined {
  const [, webhookName] = webhook.exec(message) ?? []
  if (webhookName !== undefined) return `webhook ${webhookName}`
  const [, policyName, binding] = policy.exec(message) ?? []
  if (policyName === undefined) return undefined
  return binding === undefined ? `policy ${policyName}` : `policy ${policyName}, binding ${binding}`
}
