import { planAnnotation, secretsAnnotation, sidecarName } from '../../injection/names.ts'
import { readPlan } from '../../injection/parse.ts'
import { readPodFacts } from '../../injection/pod/facts.ts'
import { idOf, objectOf, objectsOf, textOf } from '../../injection/pod/json.ts'
import type { JsonObject } from '../../injection/pod/json.ts'
import { placePlan } from '../../injection/pod/place.ts'
import { defaultOwnerSettings } from '../../injection/pod/settings.ts'
import { effectiveMode } from '../../injection/plan.ts'
import type { Content, MountEntry, MountPlan } from '../../injection/plan.ts'
import { describeProblem } from '../../injection/problem.ts'
import { parseTemplate, templateKeys } from '../../injection/template.ts'

/** What becomes of one entry in one pod. */
export interface EntryExplanation {
  readonly secret: string
  /** In words. */
  readonly content: string
  /** With a trailing slash for a directory. */
  readonly path: string
  readonly mount: 'directory' | 'file, in-place' | 'file, restart'
  /** As chmod writes it, `0440`. */
  readonly mode: string
  /** `USER:GROUP`, in numbers; `?` for what the platform decides. */
  readonly owner: string
  readonly containers: readonly string[]
}

/** What becomes of the secrets of one pod. */
export interface PodExplanation {
  /** `Pod web-1`, or the workload whose template it is. */
  readonly title: string
  readonly namespace: string
  readonly serviceAccount: string
  /**
   * `injected`: the running pod says so itself. `expected`: what the webhook would do, with its
   * default user and group. `not injected`: the pod runs without what it asks for.
   */
  readonly state: 'injected' | 'expected' | 'not injected'
  readonly entries: readonly EntryExplanation[]
  /** Why it cannot come true; then there are no entries. */
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

/** Explains a Pod or pod template; `undefined` when it asks for no secrets. */
export function explainPod(
  pod: JsonObject,
  about: { readonly title: string; readonly namespace: string; readonly isLive: boolean },
): PodExplanation | undefined {
  const annotations = objectOf(objectOf(pod['metadata'])['annotations'])
  const text = annotations[secretsAnnotation]
  if (text === undefined) return undefined
  const facts = readPodFacts(pod)
  const { title, namespace } = about
  const common = { title, namespace, serviceAccount: facts.serviceAccount }
  const failed = (problems: readonly string[]): PodExplanation => ({
    ...common,
    state: about.isLive ? 'not injected' : 'expected',
    entries: [],
    problems,
    warnings: [],
  })
  if (typeof text !== 'string') return failed([`${secretsAnnotation} is not text`])
  const injected = about.isLive ? readInjected(pod) : undefined
  if (injected !== undefined) {
    const entries = injected.plan.entries.map((entry) =>
      explainEntry(entry, { ...injected, names: consumersOf(entry, facts.containers) }),
    )
    return { ...common, state: 'injected', entries, problems: [], warnings: [] }
  }
  const reading = readPlan(text)
  const result =
    reading.kind === 'problems' ? reading : placePlan(reading, facts, defaultOwnerSettings)
  if (result.kind === 'problems') {
    return failed(
      result.problems.map((problem) => `line ${problem.place.line}: ${describeProblem(problem)}`),
    )
  }
  const { plan, owner, warnings } = result.placement
  return {
    ...common,
    state: about.isLive ? 'not injected' : 'expected',
    entries: plan.entries.map((entry) =>
      explainEntry(entry, { ...owner, names: consumersOf(entry, facts.containers) }),
    ),
    problems: [],
    warnings,
  }
}

/** What the webhook wrote into a pod; `undefined` when it did not, or when that is not whole. */
function readInjected(
  pod: JsonObject,
):
  | { readonly plan: MountPlan; readonly uid: number | undefined; readonly gid: number | undefined }
  | undefined {
  const text = textOf(objectOf(objectOf(pod['metadata'])['annotations'])[planAnnotation])
  const spec = objectOf(pod['spec'])
  const sidecar = objectsOf(spec['initContainers']).find(({ name }) => name === sidecarName)
  const reading = text === undefined ? undefined : readPlan(text)
  if (sidecar === undefined || reading?.kind !== 'plan') return undefined
  const security = objectOf(sidecar['securityContext'])
  return {
    plan: reading.plan,
    uid: idOf(security['runAsUser']),
    gid: idOf(security['runAsGroup']),
  }
}

function consumersOf(
  { containers }: MountEntry,
  all: readonly { readonly name: string }[],
): readonly string[] {
  return all.map(({ name }) => name).filter((name) => containers?.includes(name) ?? true)
}

function explainEntry(
  entry: MountEntry,
  of: {
    readonly uid: number | undefined
    readonly gid: number | undefined
    readonly names: readonly string[]
  },
): EntryExplanation {
  const { mount, content } = entry
  return {
    secret: entry.secret,
    content: describeContent(content),
    path: content.kind === 'files' ? `${entry.path}/` : entry.path,
    mount: mount.kind === 'directory' ? 'directory' : `file, ${mount.update}`,
    mode: `0${effectiveMode(entry).toString(8).padStart(3, '0')}`,
    owner: `${of.uid ?? '?'}:${entry.group ?? of.gid ?? '?'}`,
    containers: of.names,
  }
}

function describeContent(content: Content): string {
  switch (content.kind) {
    case 'key':
      return `key ${content.key}`
    case 'files':
      return 'every key'
    case 'encoded':
      return `every key as ${content.format}`
    case 'template': {
      const parsed = parseTemplate(content.template)
      return 'parts' in parsed ? `template of ${templateKeys(parsed.parts).join(', ')}` : 'template'
    }
  }
}
