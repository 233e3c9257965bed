import { LatchkeyError, isLatchkeyError } from '../../base/errors.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import { isObject, type Json } from '../../injection/pod/json.ts'
import { findPods } from '../manifest/pods.ts'
import { readManifest } from '../manifest/source.ts'
import { alignColumns, type OutputFormat } from '../output.ts'
import type { Terminal } from '../terminal.ts'
import { explainPod, type PodExplanation } from './explanation.ts'
import { grantFor, type Grant } from './grants.ts'
import { askPermission, type Permission } from './permission.ts'

/** What the command needs from the process. */
export interface ExplainContext {
  readonly terminal: Terminal
  readonly readText: (file: string) => Promise<string>
  /** The cluster, or why there is none to ask. */
  readonly cluster: KubernetesClient | { readonly absent: string }
  readonly signal: AbortSignal
}

/** What `latchkey explain pod` is given. */
export interface ExplainFlags {
  readonly name: string | undefined
  readonly file: string | undefined
  /** Where the pod is, and where pods of a file are that does not say. */
  readonly namespace: string
  readonly output: OutputFormat
  /** Prints only the Roles and RoleBindings that are missing, as YAML. */
  readonly grants: boolean
}

/**
 * `latchkey explain pod`: what is mounted where, with which mode and owner, as which service account,
 * and whether RBAC allows it; where it does not, the Role and RoleBinding to apply.
 *
 * @returns whether everything can come true as far as could be told.
 * @throws `ERR_USAGE`, `ERR_CONFIG_INVALID` for a file that cannot be read, `ERR_KUBERNETES_*`.
 */
export async function explain(context: ExplainContext, flags: ExplainFlags): Promise<boolean> {
  const pods =
    flags.file === undefined ? await livePod(context, flags) : await filePods(context, flags)
  const explained: ExplainedPod[] = []
  for (const pod of pods) explained.push({ ...pod, permissions: await permissionsOf(context, pod) })
  const grants = missingGrants(explained)
  await show(context.terminal, { flags, explained, grants })
  return (
    grants.length === 0 &&
    explained.every(({ problems, state }) => problems.length === 0 && state !== 'not injected')
  )
}

interface ExplainedPod extends PodExplanation {
  /** By secret. */
  readonly permissions: ReadonlyMap<string, Permission>
}

async function livePod(
  { cluster, signal }: ExplainContext,
  { name, namespace }: ExplainFlags,
): Promise<readonly PodExplanation[]> {
  if (name === undefined) {
    throw new LatchkeyError('ERR_USAGE', 'no pod was named', {
      hint: 'write "latchkey explain pod NAME", or -f FILE',
    })
  }
  if ('absent' in cluster) {
    throw new LatchkeyError('ERR_KUBERNETES_CONFIG', cluster.absent, {
      hint: 'name a kubeconfig with --kubeconfig, or a manifest with -f',
    })
  }
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`
  const pod = (await cluster.request('GET', path, { signal }).catch((error: unknown) => {
    if (!isLatchkeyError(error, 'ERR_KUBERNETES_NOT_FOUND')) throw error
    throw new LatchkeyError(error.code, `there is no pod ${name} in namespace ${namespace}`, {
      hint: 'name the namespace with -n',
    })
  })) as Json
  const about = { title: `Pod ${name}`, namespace, isLive: true }
  const explanation = isObject(pod) ? explainPod(pod, about) : undefined
  if (explanation !== undefined) return [explanation]
  throw new LatchkeyError('ERR_USAGE', `pod ${name} declares no secrets`, {
    hint: 'a pod declares them in its annotation latchkey.dev/secrets',
  })
}

async function filePods(
  { readText }: ExplainContext,
  { name, file = '-', namespace }: ExplainFlags,
): Promise<readonly PodExplanation[]> {
  const { documents, problems } = readManifest(await readText(file))
  const [problem] = problems
  if (problem !== undefined) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', `${file}:${problem.line}: ${problem.problem}`, {
      hint: problem.fix,
    })
  }
  const explanations = documents
    .flatMap((document) => findPods(document).pods)
    .filter((pod) => name === undefined || pod.name === name)
    .map((pod) =>
      explainPod(pod.pod, {
        title: pod.owner,
        namespace: pod.namespace ?? namespace,
        isLive: false,
      }),
    )
    .filter((explanation) => explanation !== undefined)
  if (explanations.length > 0) return explanations
  throw new LatchkeyError('ERR_USAGE', `${file} has no pod that declares secrets`, {
    hint: 'a pod template declares them in its annotation latchkey.dev/secrets; "latchkey lint" finds misplaced ones',
  })
}

async function permissionsOf(
  { cluster, signal }: ExplainContext,
  { entries, namespace, serviceAccount }: PodExplanation,
): Promise<ReadonlyMap<string, Permission>> {
  const permissions = new Map<string, Permission>()
  for (const secret of new Set(entries.map((entry) => entry.secret))) {
    permissions.set(
      secret,
      'absent' in cluster
        ? { kind: 'unknown', reason: cluster.absent }
        : await askPermission(cluster, { namespace, serviceAccount, secret }, signal),
    )
  }
  return permissions
}

function missingGrants(explained: readonly ExplainedPod[]): readonly Grant[] {
  const grants = new Map<string, Grant>()
  for (const { namespace, serviceAccount, permissions } of explained) {
    for (const [secret, { kind }] of permissions) {
      if (kind !== 'denied') continue
      for (const grant of grantFor(secret, { namespace, serviceAccount })) {
        grants.set(`${namespace}/${grant.kind}/${grant.metadata.name}`, grant)
      }
    }
  }
  return [...grants.values()]
}

async function show(
  terminal: Terminal,
  shown: {
    readonly flags: ExplainFlags
    readonly explained: readonly ExplainedPod[]
    readonly grants: readonly Grant[]
  },
): Promise<void> {
  const { flags, explained, grants } = shown
  const { stringify } = await import('yaml')
  const yaml = grants.map((grant) => `---\n${stringify(grant)}`.trimEnd())
  if (flags.grants) {
    for (const document of yaml) terminal.data(document)
    return
  }
  if (flags.output !== 'table') {
    const value = { pods: explained.map(asValue), grants }
    terminal.data(flags.output === 'json' ? JSON.stringify(value) : stringify(value).trimEnd())
    return
  }
  explained.forEach((pod, index) => {
    if (index > 0) terminal.data('')
    showPod(terminal, pod)
  })
  if (yaml.length === 0) return
  terminal.data('')
  terminal.data('# What is denied becomes allowed by applying this (kubectl apply -f -):')
  for (const document of yaml) terminal.data(document)
}

function asValue({ permissions, entries, ...rest }: ExplainedPod): unknown {
  return {
    ...rest,
    entries: entries.map((entry) => ({ ...entry, permission: permissions.get(entry.secret) })),
  }
}

const states = {
  injected: 'injected, and so it is',
  expected: "expected, with the webhook's default user and group",
  'not injected':
    'NOT INJECTED: it runs without what it asks for, as it was admitted without the webhook; create it anew',
} as const

function showPod(terminal: Terminal, pod: ExplainedPod): void {
  const { title, namespace, serviceAccount, state, entries, permissions } = pod
  terminal.data(`${title}, namespace ${namespace}, service account ${serviceAccount}`)
  if (pod.problems.length > 0) {
    terminal.data('cannot be admitted:')
    for (const problem of pod.problems) terminal.data(`  ${problem}`)
    return
  }
  terminal.data(states[state])
  const rows = entries.map((entry) => [
    entry.path,
    entry.secret,
    entry.content,
    entry.mount,
    entry.mode,
    entry.owner,
    entry.containers.join(','),
    words[permissions.get(entry.secret)?.kind ?? 'unknown'],
  ])
  const head = ['PATH', 'SECRET', 'CONTENT', 'MOUNT', 'MODE', 'OWNER', 'CONTAINERS', 'ALLOWED']
  for (const line of alignColumns([head, ...rows])) terminal.data(line)
  for (const warning of pod.warnings) terminal.say(`warning: ${warning}`)
  const reasons = [...permissions.values()].flatMap((it) =>
    it.kind === 'unknown' ? [it.reason] : [],
  )
  for (const reason of new Set(reasons))
    terminal.say(`whether it is allowed was not asked: ${reason}`)
}

const words = { allowed: 'yes', denied: 'NO', unknown: 'not asked' } as const
