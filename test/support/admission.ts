import type { JsonObject } from '../../src/injection/pod/json.ts'
import type { AdmissionDeps } from '../../src/webhook/admit.ts'
import { plainNamespace, settings, vectorCa } from './injection.ts'

/** What decisions depend on, as the install has it. */
export const admissionDeps: AdmissionDeps = {
  settings,
  ca: () => vectorCa,
  namespaceFacts: () => plainNamespace,
  exempt: new Set(['latchkey-system', 'kube-system']),
}

/** The body of an admission request. */
export function reviewBody(request: {
  readonly operation?: string
  readonly resource?: string
  readonly namespace?: string
  readonly object?: JsonObject
  readonly oldObject?: JsonObject
  readonly dryRun?: boolean
  readonly subResource?: string
}): string {
  return JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'b3f0c1de-0000-4000-8000-000000000001',
      operation: 'CREATE',
      namespace: 'shop',
      userInfo: { username: 'jane' },
      ...request,
      resource: { group: '', version: 'v1', resource: request.resource ?? 'pods' },
    },
  })
}

/** A pod that declares `list`. */
export function podWith(list: string, spec: JsonObject = {}): JsonObject {
  return {
    metadata: { generateName: 'web-', annotations: { 'latchkey.dev/secrets': list } },
    spec: { serviceAccountName: 'web', containers: [{ name: 'app' }], ...spec },
  }
}
