import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'

type Fields = Readonly<Record<string, unknown>>

/** A manifest of an example. */
export interface ExampleObject extends Fields {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace: string } & Fields
  readonly spec: Fields
}

/** What a policy is to say to a manifest: one document of `deploy/policies/examples`. */
export interface PolicyExample {
  readonly policy: string
  readonly title: string
  readonly allowed: boolean
  /** Words of the message of a denial. */
  readonly message: string
  /** Who asks; an administrator unless said otherwise. */
  readonly user: string | undefined
  readonly group: string | undefined
  readonly object: ExampleObject
  /** What it is an update of. */
  readonly before: ExampleObject | undefined
}

const directory = join(import.meta.dirname, '../../deploy/policies/examples')

/** Policies that have examples, by the names of their files. */
export const policiesWithExamples = [
  'no-secret-env',
  'files-by-latchkey',
  'injected',
  'untampered',
  'no-debug-access',
  'use-account',
] as const

/** Namespaces of the examples, by the mode that their labels ask for. */
export const exampleNamespaces = {
  plain: undefined,
  audited: 'audit',
  warned: 'warn',
  enforced: 'enforce',
} as const

/** Labels of a namespace of the examples. */
export function namespaceLabels(name: keyof typeof exampleNamespaces): Record<string, string> {
  const mode = exampleNamespaces[name]
  const policies = ['no-secret-env', 'files-by-latchkey', 'use-account']
  return mode === undefined
    ? {}
    : Object.fromEntries(policies.map((policy) => [`policies.latchkey.dev/${policy}`, mode]))
}

/** Every example of a policy. Throws for a heading that says nothing. */
export async function policyExamples(policy: string): Promise<readonly PolicyExample[]> {
  const text = await readFile(join(directory, `${policy}.yaml`), 'utf8')
  const documents = parseAllDocuments(text)
  if (!Array.isArray(documents)) return []
  const examples: PolicyExample[] = []
  let before: ExampleObject | undefined
  for (const document of documents) {
    const object = document.toJS() as ExampleObject | null
    if (object === null) continue
    // Before the first one there are words about the whole file, too.
    const comments = [document.commentBefore, document.contents?.commentBefore].join('\n').trim()
    const heading = comments.split('\n').at(-1)?.trim() ?? ''
    if (heading === 'before') {
      before = object
      continue
    }
    examples.push({ policy, ...readHeading(heading), object, before })
    before = undefined
  }
  return examples
}

function readHeading(heading: string): Omit<PolicyExample, 'policy' | 'object' | 'before'> {
  const [, head = '', title = ''] = /^((?:allowed|denied)(?:, .*?)?): (.+)$/s.exec(heading) ?? []
  const [verdict, ...parts] = head.split(', ')
  const who = parts.find((part) => part.startsWith('as '))?.slice(3)
  const [user, group] = who?.split(' of ') ?? []
  const message = parts.find((part) => !part.startsWith('as ')) ?? ''
  if (verdict !== 'allowed' && verdict !== 'denied') throw new Error(`no heading: ${heading}`)
  if (verdict === 'denied' && message === '') throw new Error(`no message: ${heading}`)
  return { title, allowed: verdict === 'allowed', message, user, group }
}

/** Grants of the examples of `use-account`, in namespace `enforced`. */
export const exampleGrants: readonly (Fields & {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
})[] = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'use-web', namespace: 'enforced' },
    rules: [
      { apiGroups: [''], resources: ['serviceaccounts'], resourceNames: ['web'], verbs: ['use'] },
    ],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'use-web', namespace: 'enforced' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'use-web' },
    subjects: [
      { kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'jane' },
      { kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name: 'deployers' },
    ],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'use-all' },
    rules: [{ apiGroups: [''], resources: ['serviceaccounts'], verbs: ['use'] }],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'use-all' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'use-all' },
    subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'sam' }],
  },
]
