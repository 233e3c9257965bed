import type { EntryPlaces } from '../entry.ts'
import { sidecarName } from '../names.ts'
import { maxPlanBytes } from '../plan.ts'
import type { MountPlan } from '../plan.ts'
import { printPlan } from '../print.ts'
import type { Problem } from '../problem.ts'
import { findingAboutPod, findingAt, toProblem } from './entry-finding.ts'
import type { PlacedFinding } from './entry-finding.ts'
import type { PodFacts } from './facts.ts'
import { fileVolumes, mountConflicts } from './mounts.ts'
import type { FileVolume } from './mounts.ts'
import { decideOwner } from './owner.ts'
import type { ConsumedEntry, Owner } from './owner.ts'
import type { OwnerSettings } from './settings.ts'
import { adviceOn } from './advice.ts'

/** How a plan comes true in one pod: everything that does not depend on the operator's image. */
export interface Placement {
  /** The plan, complete: every entry has its mode, and a group where it needs one. */
  readonly plan: MountPlan
  readonly owner: Owner
  readonly volumes: readonly FileVolume[]
  /** What is legal but unwise, a sentence each. */
  readonly warnings: readonly string[]
}

/** What came of placing a plan in a pod. */
export type PlacementResult =
  | { readonly kind: 'placement'; readonly placement: Placement }
  | { readonly kind: 'problems'; readonly problems: readonly Problem[] }

/**
 * Places a plan in a pod: who reads what, as whose files, on which volumes.
 *
 * @param declared - the plan and where its entries stood, as `readPlan` gives them.
 */
export function placePlan(
  declared: { readonly plan: MountPlan; readonly places: readonly EntryPlaces[] },
  facts: PodFacts,
  settings: OwnerSettings,
): PlacementResult {
  const failed = (findings: readonly PlacedFinding[]): PlacementResult => ({
    kind: 'problems',
    problems: findings
      .map((finding) => toProblem(finding, declared.places))
      .toSorted((a, b) => a.place.line - b.place.line || a.place.column - b.place.column),
  })
  const consumed = consumersOf(declared.plan, facts)
  const findings = [
    ...refusePod(facts),
    ...unknownContainers(declared.plan, facts),
    ...refuseScopes(declared.plan, facts),
    ...mountConflicts(consumed),
  ]
  if (findings.length > 0) return failed(findings)
  const decided = decideOwner(consumed, facts, settings)
  if (!('owner' in decided)) return failed(decided)
  const { owner } = decided
  const badSignals = refuseSignals(consumed, facts, owner)
  if (badSignals.length > 0) return failed(badSignals)
  const plan = { entries: decided.entries }
  const bytes = Buffer.byteLength(printPlan(plan))
  if (bytes > maxPlanBytes) {
    const problem = `the complete plan is ${bytes} bytes long, more than ${maxPlanBytes}`
    return failed([findingAboutPod({ problem, fix: 'shorten its templates' })])
  }
  const settled = decided.entries.map((entry, index) => ({
    entry,
    consumers: consumed[index]?.consumers ?? [],
  }))
  return {
    kind: 'placement',
    placement: {
      plan,
      owner,
      volumes: fileVolumes(settled),
      warnings: adviceOn(settled, facts, owner),
    },
  }
}

/** Each entry with the containers that are to read it. */
function consumersOf(plan: MountPlan, facts: PodFacts): readonly ConsumedEntry[] {
  return plan.entries.map((entry) => ({
    entry,
    consumers: facts.containers.filter(({ name }) => entry.containers?.includes(name) ?? true),
  }))
}

function refusePod(facts: PodFacts): readonly PlacedFinding[] {
  const findings = facts.environmentFromFiles.map((container) =>
    findingAboutPod({
      problem: `container ${container} turns a file of Latchkey into an environment variable`,
      fix: 'remove that fileKeyRef, and let the program read the file',
    }),
  )
  if (facts.takesOurName) {
    const problem = `one of spec.containers is called ${sidecarName}, as the sidecar is`
    findings.push(findingAboutPod({ problem, fix: 'give it another name' }))
  }
  if (!facts.windows) return findings
  const problem = 'the pod is for Windows, and the sidecar runs on Linux only'
  const fix = 'remove the annotation, or run the workload on Linux'
  return [findingAboutPod({ problem, fix }), ...findings]
}

function unknownContainers(plan: MountPlan, facts: PodFacts): readonly PlacedFinding[] {
  const known = facts.containers.map(({ name }) => name)
  return plan.entries.flatMap(({ containers = [] }, index) => {
    const stranger = containers.find((name) => !known.includes(name))
    if (stranger === undefined) return []
    const problem = facts.others.includes(stranger)
      ? `names ${stranger}, which was not written by the pod's author`
      : `names ${stranger}, which the pod does not have`
    return [findingAt(index, 'containers', { problem, fix: `name some of ${known.join(', ')}` })]
  })
}

function refuseScopes(plan: MountPlan, facts: PodFacts): readonly PlacedFinding[] {
  if (!facts.sharesProcesses) return []
  const field = facts.hostPid ? 'hostPID' : 'shareProcessNamespace'
  return plan.entries.flatMap(({ containers }, index) =>
    containers === undefined
      ? []
      : [
          findingAt(index, 'containers', {
            problem: `cannot hold: with ${field} containers reach each other's files through /proc`,
            fix: `remove containers, or remove ${field} from the pod's spec`,
          }),
        ],
  )
}

/** A signal reaches only processes that the sidecar sees and whose user it shares. */
function refuseSignals(
  consumed: readonly ConsumedEntry[],
  facts: PodFacts,
  owner: Owner,
): readonly PlacedFinding[] {
  return consumed.flatMap(({ entry, consumers }, index) => {
    if (entry.onChange?.kind !== 'signal') return []
    const field = 'onChange.signal'
    if (facts.hostPid) {
      const problem = 'is not possible with hostPID: it could reach processes of other pods'
      return [findingAt(index, field, { problem, fix: 'use onChange: { http: … }' })]
    }
    if (!facts.sharesProcesses) {
      const problem = 'needs a pod whose containers share process ids'
      const fix = "add shareProcessNamespace: true to the pod's spec, or use onChange: { http: … }"
      return [findingAt(index, field, { problem, fix })]
    }
    const other = consumers.find(({ uid }) => uid === undefined || uid !== owner.uid)
    if (other === undefined) return []
    const problem = `cannot reach container ${other.name}, whose user is not the sidecar's`
    const fix = 'declare one runAsUser, not 0, for all containers, or use onChange: { http: … }'
    return [findingAt(index, field, { problem, fix })]
  })
}
