import type { ExecutionContext } from 'ava'
import { writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { suggest, type SuggestFlags } from '../../src/admin/rbac/suggest.ts'
import { createKubernetesClient } from '../../src/clients/kubernetes.ts'
import { recordedContext, type RecordedContext } from './admin-context.ts'
import type { FakeKubernetes } from './fake-kubernetes.ts'

export type Fields = Readonly<Record<string, unknown>>

/** Flags of a command that was given none. */
export const suggestFlags: SuggestFlags = {
  apiAudit: [],
  audit: [],
  namespace: undefined,
  account: [],
  system: 'latchkey-system',
  denied: false,
  output: 'json',
}
export const broker = 'system:serviceaccount:latchkey-system:latchkey-broker'
export const webhook = 'system:serviceaccount:latchkey-system:latchkey-webhook'

/** A line of a broker's audit file. */
export const decided = (event: string, secret: string, fields: Fields = {}): string =>
  JSON.stringify({
    chain: 'AAAAAAAAAAAAAAAAAAAAAA',
    seq: 1,
    time: '2026-05-01T10:00:00.000Z',
    prev: '',
    event,
    outcome: 'allowed',
    who: { namespace: 'shop', account: 'web' },
    what: [{ secret, keys: [] }],
    ...fields,
  })

/** A line of an API server's log. */
export const event = (username: string, verb: string, fields: Fields = {}): string =>
  JSON.stringify({
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'RequestResponse',
    stage: 'ResponseComplete',
    requestURI: '/',
    verb,
    user: { username },
    responseStatus: { code: 200 },
    requestReceivedTimestamp: '2026-05-01T10:00:00.123456Z',
    annotations: { 'authorization.k8s.io/decision': 'allow' },
    ...fields,
  })

/** A review by the broker in such a log. */
export const review = (
  attributes: Fields,
  allowed: boolean | undefined,
  fields: Fields = {},
): string =>
  event(broker, 'create', {
    objectRef: { resource: 'subjectaccessreviews', apiGroup: 'authorization.k8s.io' },
    requestObject: {
      spec: {
        user: 'system:serviceaccount:shop:web',
        resourceAttributes: {
          ...{ verb: 'mount', group: '', resource: 'secrets', namespace: 'shop' },
          ...attributes,
        },
      },
    },
    ...(allowed === undefined ? {} : { responseObject: { status: { allowed } } }),
    ...fields,
  })

interface SuggestedObject extends Fields {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
}

/** What `-o json` prints. */
export interface Report {
  readonly covered: { readonly mount: Fields | null; readonly api: Fields | null }
  readonly roles: { readonly items: readonly SuggestedObject[] }
  readonly acts: readonly (Fields & { readonly standing: string })[]
  readonly unused: readonly Fields[] | null
}

/** What a run of the command came to. */
export interface Run {
  readonly context: RecordedContext
  readonly report: Report
  /** `kind namespace/name` of what is suggested. */
  readonly names: readonly string[]
}

/** Runs `latchkey rbac suggest` on logs of these lines, and, if given, on a cluster. */
export async function runSuggest(
  t: ExecutionContext,
  logs: { readonly broker?: readonly string[]; readonly api?: readonly string[] },
  given: Partial<SuggestFlags> = {},
  kubernetes?: FakeKubernetes,
): Promise<Run> {
  const context = await recordedContext(t)
  if (logs.broker) await writeFile(context.path('broker'), `${logs.broker.join('\n')}\n`)
  if (logs.api) await writeFile(context.path('api'), `${logs.api.join('\n')}\n`)
  const cluster =
    kubernetes &&
    createKubernetesClient(kubernetes.access, {
      clock: { monotonicMs: () => performance.now() },
    })
  t.teardown(() => cluster?.close())
  await suggest(
    {
      terminal: context.terminal,
      cwd: context.cwd,
      stdin: () => Readable.from([]),
      cluster,
      signal: new AbortController().signal,
    },
    {
      ...suggestFlags,
      audit: logs.broker ? ['broker'] : [],
      apiAudit: logs.api ? ['api'] : [],
      ...given,
    },
  )
  const format = given.output ?? 'json'
  const report = (format === 'json' ? JSON.parse(context.data.join('\n')) : {}) as Report
  const items = format === 'json' ? report.roles.items : []
  const names = items.map(
    ({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`,
  )
  return { context, report, names }
}

/** A Role of the verb mount and its binding to account web, in namespace shop. */
export function putGrant(
  kubernetes: FakeKubernetes,
  name: string,
  rule: Fields,
  subject?: Fields,
): void {
  const place = '/apis/rbac.authorization.k8s.io/v1/namespaces/shop'
  kubernetes.put(`${place}/roles`, {
    metadata: { name, namespace: 'shop' },
    rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['mount'], ...rule }],
  })
  kubernetes.put(`${place}/rolebindings`, {
    metadata: { name, namespace: 'shop' },
    roleRef: { kind: 'Role', name },
    subjects: [subject ?? { kind: 'ServiceAccount', name: 'web', namespace: 'shop' }],
  })
}
