import type { OutputFormat } from '../output.ts'
import { alignColumns } from '../output.ts'
import type { Terminal } from '../terminal.ts'
import type { Act } from './act.ts'
import type { Entry, Stretch } from './ledger.ts'
import type { RbacObject } from './roles.ts'
import type { IdleGrant } from './unused.ts'

/** What `latchkey rbac suggest` found. */
export interface Suggestion {
  /** What to apply. */
  readonly roles: readonly RbacObject[]
  readonly entries: readonly Entry[]
  /** Grants nobody used, or used only in part; `undefined` when no cluster was asked. */
  readonly idle: readonly IdleGrant[] | undefined
  readonly covered: { readonly mount: Stretch | undefined; readonly api: Stretch | undefined }
}

/** Prints it: as YAML that can be applied, as JSON for programs, as a table for people. */
export async function printSuggestion(
  terminal: Terminal,
  format: OutputFormat,
  suggestion: Suggestion,
): Promise<void> {
  if (format === 'json') terminal.data(JSON.stringify(asValue(suggestion)))
  else if (format === 'table') printTable(terminal, suggestion)
  else await printYaml(terminal, suggestion)
}

async function printYaml(terminal: Terminal, { roles, idle, covered }: Suggestion): Promise<void> {
  const { stringify } = await import('yaml')
  for (const role of roles) terminal.data(`---\n${stringify(role)}`.trimEnd())
  const comments = [
    ...(roles.length === 0 ? ['nothing happened that would need a grant'] : []),
    ...(idle ?? []).map((grant) => `${words(grant)} (${whereOf(grant)})${since(grant, covered)}`),
  ]
  for (const comment of comments) terminal.data(`# ${comment}`)
}

function printTable(terminal: Terminal, { entries, idle, covered }: Suggestion): void {
  const head = ['NAMESPACE', 'ACCOUNT', 'VERB', 'WHAT', 'FIRST', 'LAST', 'STANDING']
  const rows = entries.map(({ act, firstMs, lastMs, standing }) => [
    act.namespace === '' ? '-' : act.namespace,
    `${act.account.namespace}/${act.account.name}`,
    act.verb,
    whatOf(act),
    timeOf(firstMs),
    timeOf(lastMs),
    standing,
  ])
  for (const line of alignColumns([head, ...rows])) terminal.data(line)
  if (idle === undefined || idle.length === 0) return
  terminal.data('')
  const idleHead = ['BINDING', 'SUBJECT', 'VERB', 'WHAT', 'USED', 'SINCE']
  const idleRows = idle.map((grant) => [
    bindingOf(grant),
    subjectOf(grant),
    grant.verb,
    whatOf(grant),
    grant.used.length === 0 ? 'never' : grant.used.join(','),
    timeOf(stretchOf(grant, covered)?.fromMs ?? NaN),
  ])
  for (const line of alignColumns([idleHead, ...idleRows])) terminal.data(line)
}

function asValue({ roles, entries, idle, covered }: Suggestion): unknown {
  const stretch = (it: Stretch | undefined): unknown =>
    it === undefined ? null : { from: timeOf(it.fromMs), to: timeOf(it.toMs) }
  return {
    covered: { mount: stretch(covered.mount), api: stretch(covered.api) },
    roles: { apiVersion: 'v1', kind: 'List', items: roles },
    acts: entries.map(({ act, firstMs, lastMs, standing }) => ({
      ...act,
      first: timeOf(firstMs),
      last: timeOf(lastMs),
      standing,
    })),
    unused: idle ?? null,
  }
}

const words = ({ used }: IdleGrant): string =>
  used.length === 0 ? 'unused' : `wider than what was used, ${used.join(', ')}`

function whereOf(grant: IdleGrant): string {
  return `${bindingOf(grant)}, ${grant.role.kind} ${grant.role.name}: ${subjectOf(grant)} may ${grant.verb} ${whatOf(grant)}`
}

function since(grant: IdleGrant, covered: Suggestion['covered']): string {
  const stretch = stretchOf(grant, covered)
  return stretch === undefined ? '' : `, from ${timeOf(stretch.fromMs)} to ${timeOf(stretch.toMs)}`
}

function stretchOf(
  { verb, resource }: IdleGrant,
  covered: Suggestion['covered'],
): Stretch | undefined {
  return verb === 'mount' && resource === 'secrets' ? covered.mount : covered.api
}

function bindingOf({ binding }: IdleGrant): string {
  const { kind, namespace, name } = binding
  return `${kind} ${namespace === '' ? name : `${namespace}/${name}`}`
}

function subjectOf({ subject }: IdleGrant): string {
  const { kind, namespace, name } = subject
  return `${kind} ${namespace === '' ? name : `${namespace}/${name}`}`
}

function whatOf(right: Pick<Act, 'apiGroup' | 'resource' | 'name' | 'path'>): string {
  const { apiGroup, resource, name, path } = right
  if (path !== '') return path
  return `${apiGroup === '' ? resource : `${resource}.${apiGroup}`}/${name === '' ? '*' : name}`
}

function timeOf(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z') : '-'
}
