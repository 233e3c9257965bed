import { isMount, mountVerb, type Act, type ServiceAccount } from './act.ts'
import type { PresentGrant, PresentRule, Subject } from './present.ts'

/** One right that somebody has and that no log shows in use, or not as widely as it was given. */
export interface IdleGrant {
  readonly binding: PresentGrant['binding']
  readonly role: PresentGrant['role']
  readonly subject: Subject
  readonly verb: string
  readonly apiGroup: string
  readonly resource: string
  /** The object; empty for all of them. */
  readonly name: string
  readonly path: string
  /** Empty where nothing was used; otherwise the secrets that were, of all that were granted. */
  readonly used: readonly string[]
}

/** What the logs would have shown, and did. */
export interface Seen {
  /** Everything that was allowed, or asked with an answer that is not in the logs. */
  readonly acts: readonly Act[]
  /** Whether mounts would have been seen. */
  readonly mounts: boolean
  /** Accounts whose own requests would have been seen. */
  readonly accounts: readonly ServiceAccount[]
}

/**
 * The rights among `grants` that nobody used. For the verb `mount`: those of service accounts, as
 * people hold it to give it on. For everything else: those of the accounts that were looked at.
 */
export function idleGrants(grants: readonly PresentGrant[], seen: Seen): readonly IdleGrant[] {
  return grants.flatMap((grant) =>
    grant.subjects.flatMap((subject) => idleOf(grant, subject, seen)),
  )
}

function idleOf(grant: PresentGrant, subject: Subject, seen: Seen): readonly IdleGrant[] {
  const { binding, role, rules } = grant
  const acts = seen.acts.filter(
    (act) =>
      covers(subject, act.account) &&
      (binding.namespace === '' || act.namespace === binding.namespace),
  )
  const about = { binding, role, subject }
  const mounts = seen.mounts && isOfAccounts(subject) ? rules.flatMap(mountNames) : []
  const isLookedAt = seen.accounts.some((account) => isAlone(subject, account))
  const rights = isLookedAt ? rules.flatMap(rightsOf) : []
  return [
    ...[...new Set(mounts)].flatMap((name) => {
      const used = acts.filter((act) => isMount(act) && (name === '' || act.name === name))
      if (name !== '' && used.length > 0) return []
      const names = [...new Set(used.map((act) => act.name))].sort()
      const what = { verb: mountVerb, apiGroup: '', resource: 'secrets', name, path: '' }
      return [{ ...about, ...what, used: names }]
    }),
    ...rights
      .filter((right) => !acts.some((act) => !isMount(act) && allows(right, act)))
      .map((right) => ({ ...about, ...right, used: [] })),
  ]
}

type Right = Pick<IdleGrant, 'verb' | 'apiGroup' | 'resource' | 'name' | 'path'>

/** Names of secrets that a rule lets one mount; `''` for all. */
function mountNames(rule: PresentRule): readonly string[] {
  const { verbs, apiGroups, resources, resourceNames } = rule
  const isIt =
    has(verbs, mountVerb) &&
    (apiGroups.includes('') || apiGroups.includes('*')) &&
    (resources.includes('secrets') || resources.includes('*'))
  return !isIt ? [] : resourceNames.length === 0 ? [''] : resourceNames
}

function rightsOf(rule: PresentRule): readonly Right[] {
  const { verbs, apiGroups, resources, resourceNames, nonResourceURLs } = rule
  const names = resourceNames.length === 0 ? [''] : resourceNames
  return verbs
    .filter((verb) => verb !== mountVerb)
    .flatMap((verb) => [
      ...apiGroups.flatMap((apiGroup) =>
        resources.flatMap((resource) =>
          names.map((name) => ({ verb, apiGroup, resource, name, path: '' })),
        ),
      ),
      ...nonResourceURLs.map((path) => ({ verb, apiGroup: '', resource: '', name: '', path })),
    ])
}

function allows(right: Right, act: Act): boolean {
  if (right.verb !== '*' && right.verb !== act.verb) return false
  if (right.path !== '' || act.path !== '') return matchesPath(right.path, act.path)
  return (
    (right.apiGroup === '*' || right.apiGroup === act.apiGroup) &&
    matchesResource(right.resource, act.resource) &&
    // An act whose name was left out may have been about this one.
    (right.name === '' || act.name === '' || right.name === act.name)
  )
}

function matchesPath(granted: string, path: string): boolean {
  if (path === '' || granted === '') return false
  return granted.endsWith('*') ? path.startsWith(granted.slice(0, -1)) : path === granted
}

function matchesResource(granted: string, resource: string): boolean {
  if (granted === '*' || granted === resource) return true
  const [, subresource] = resource.split('/')
  return subresource !== undefined && granted === `*/${subresource}`
}

function has(verbs: readonly string[], verb: string): boolean {
  return verbs.includes(verb) || verbs.includes('*')
}

const everyAccount = 'system:serviceaccounts'

/** Whether a subject is one account, and this one. */
function isAlone(subject: Subject, account: ServiceAccount): boolean {
  return subject.kind !== 'Group' && covers(subject, account)
}

/** Whether a subject is an account or a group of them. */
function isOfAccounts({ kind, name }: Subject): boolean {
  if (kind === 'ServiceAccount') return true
  if (kind === 'User') return name.startsWith('system:serviceaccount:')
  return isGroupOfAccounts(name)
}

function isGroupOfAccounts(name: string): boolean {
  return (
    name === everyAccount || name.startsWith(`${everyAccount}:`) || name === 'system:authenticated'
  )
}

function covers(subject: Subject, account: ServiceAccount): boolean {
  const { kind, namespace, name } = subject
  if (kind === 'ServiceAccount') return namespace === account.namespace && name === account.name
  if (kind === 'User') return name === `system:serviceaccount:${account.namespace}:${account.name}`
  return (
    isGroupOfAccounts(name) &&
    (!name.startsWith(`${everyAccount}:`) || name === `${everyAccount}:${account.namespace}`)
  )
}
