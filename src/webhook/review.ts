import { LatchkeyError } from '../base/errors.ts'
import { isObject, objectOf, textOf, type Json, type JsonObject } from '../injection/pod/json.ts'
import type { PatchOperation } from './inject/json-patch.ts'

/** What the API server asks, of admission.k8s.io/v1 AdmissionReview. */
export interface AdmissionRequest {
  readonly uid: string
  readonly operation: string
  readonly namespace: string
  /** Plural, `pods`. */
  readonly resource: string
  readonly subresource: string
  /** Name or, before it is known, the prefix of it. */
  readonly name: string
  /** Whether nothing will come of it. */
  readonly dryRun: boolean
  /** Who asked the API server. */
  readonly username: string
  readonly object: JsonObject
  /** Empty when there is none. */
  readonly oldObject: JsonObject
}

/** What is answered. */
export interface AdmissionAnswer {
  readonly allowed: boolean
  /** Why not, for people. */
  readonly message?: string
  readonly warnings: readonly string[]
  readonly patch?: readonly PatchOperation[]
  /** For the API server's own audit log. */
  readonly annotations: Readonly<Record<string, string>>
}

/**
 * Reads the body of a request.
 *
 * @throws `ERR_MESSAGE_INVALID`, naming what is missing.
 */
export function readReview(body: string): AdmissionRequest {
  let review: Json
  try {
    review = JSON.parse(body) as Json
  } catch {
    throw invalid('is not JSON')
  }
  const { apiVersion, kind, request } = objectOf(review)
  if (apiVersion !== 'admission.k8s.io/v1' || kind !== 'AdmissionReview') {
    throw invalid('is no AdmissionReview of admission.k8s.io/v1')
  }
  if (!isObject(request)) throw invalid('has no request')
  const uid = textOf(request['uid'])
  const operation = textOf(request['operation'])
  const resource = textOf(objectOf(request['resource'])['resource'])
  if (uid === undefined || operation === undefined || resource === undefined) {
    throw invalid('has no uid, operation or resource')
  }
  const object = objectOf(request['object'])
  const { name, generateName } = objectOf(object['metadata'])
  return {
    uid,
    operation,
    namespace: textOf(request['namespace']) ?? '',
    resource,
    subresource: textOf(request['subResource']) ?? '',
    name: textOf(request['name']) ?? textOf(name) ?? textOf(generateName) ?? '',
    dryRun: request['dryRun'] === true,
    username: textOf(objectOf(request['userInfo'])['username']) ?? '',
    object,
    oldObject: objectOf(request['oldObject']),
  }
}

/** Longest warning that the API server passes on whole. */
const maxWarningLength = 256

/** The body of the answer to the request of that uid. */
export function printReview(uid: string, answer: AdmissionAnswer): string {
  const { allowed, message, warnings, patch, annotations } = answer
  const operations = patch ?? []
  return JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: {
      uid,
      allowed,
      ...(message === undefined ? {} : { status: { code: 422, reason: 'Invalid', message } }),
      ...(warnings.length === 0 ? {} : { warnings: warnings.map(shorten) }),
      ...(operations.length === 0
        ? {}
        : {
            patchType: 'JSONPatch',
            patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
          }),
      auditAnnotations: annotations,
    },
  })
}

function shorten(warning: string): string {
  const text = `latchkey: ${warning}`
  return text.length <= maxWarningLength ? text : `${text.slice(0, maxWarningLength - 1)}…`
}

function invalid(what: string): LatchkeyError {
  return new LatchkeyError('ERR_MESSAGE_INVALID', `the body ${what}`)
}
