import type { MountEntry } from '../plan.ts'
import { effectiveMode } from '../plan.ts'
import type { PlacedFinding } from './entry-finding.ts'
import { findingAt } from './entry-finding.ts'
import type { ContainerFacts, PodFacts } from './facts.ts'
import type { OwnerSettings } from './settings.ts'

/** An entry and the containers that are to read it. */
export interface ConsumedEntry {
  readonly entry: MountEntry
  readonly consumers: readonly ContainerFacts[]
}

/** As whom the sidecar runs, and so whose its files are. */
export interface Owner {
  /** `undefined` leaves it to the platform. */
  readonly uid: number | undefined
  /** Its primary group; `undefined` leaves it to the platform. */
  readonly gid: number | undefined
  /** What the pod's `supplementalGroups` lack. */
  readonly addGroups: readonly number[]
}

/** What was decided, with mode and group of every entry settled. */
export interface Ownership {
  readonly owner: Owner
  readonly entries: readonly MountEntry[]
}

/**
 * Decides owner, group and mode of every file, without `CAP_CHOWN`, which the `restricted` Pod
 * Security Standard forbids: a process can give a file only to itself and to groups that it is in.
 *
 * 1. Where all who read declare one user, the sidecar runs as it and files are 0400.
 * 2. Otherwise files are 0440, of a group that all containers get as a supplementary one, which also
 *    works for users that only the image knows; `fsGroup` is never added, as it changes volumes.
 * 3. A mode that was asked for is kept. One that shuts the group out makes its readers' user the
 *    sidecar's; if there is no such user, or there are two, the entry is at fault.
 */
export function decideOwner(
  consumed: readonly ConsumedEntry[],
  facts: PodFacts,
  settings: OwnerSettings,
): Ownership | readonly PlacedFinding[] {
  const strict = strictUser(consumed, settings)
  if ('findings' in strict) return strict.findings
  const everybody = consumed.flatMap(({ consumers }) => consumers)
  const fallback = settings.uid === 'assigned' ? undefined : settings.uid
  const uid = strict.decided ? strict.uid : (commonUser(everybody) ?? fallback)
  const sharedGroup =
    settings.preferFsGroup && facts.fsGroup !== undefined && facts.fsGroup > 0
      ? facts.fsGroup
      : settings.gid
  const entries = consumed.map(({ entry, consumers }): MountEntry => {
    // Undefined is a user too where the platform assigns one, and the same one, to whoever has none.
    const isKnown = uid !== undefined || strict.decided
    const reads = isKnown && consumers.every((container) => container.uid === uid)
    if (reads || entry.group !== undefined) return { ...entry, mode: effectiveMode(entry) }
    return { ...entry, mode: entry.mode ?? 0o440, group: sharedGroup }
  })
  const groups = decideGroups(entries, { consumed, facts, settings })
  if ('findings' in groups) return groups.findings
  return { owner: { uid, ...groups }, entries }
}

/** Whether the entry asks that nobody but the owner reads. */
function isStrict({ mode }: MountEntry): boolean {
  return mode !== undefined && (mode & 0o040) === 0
}

/** The one user, not root, that all of `containers` declare. */
function commonUser(containers: readonly ContainerFacts[]): number | undefined {
  const uid = containers[0]?.uid
  return uid !== 0 && containers.every((container) => container.uid === uid) ? uid : undefined
}

type StrictUser =
  | { readonly decided: false }
  | { readonly decided: true; readonly uid: number | undefined }
  | { readonly findings: readonly PlacedFinding[] }

/** The user whom entries that shut the group out make the sidecar's. */
function strictUser(consumed: readonly ConsumedEntry[], settings: OwnerSettings): StrictUser {
  const findings: PlacedFinding[] = []
  let first: { readonly index: number; readonly uid: number | undefined } | undefined
  consumed.forEach(({ entry, consumers }, index) => {
    if (!isStrict(entry)) return
    const uid = commonUser(consumers)
    const undeclared = consumers.every((container) => container.uid === undefined)
    if (uid === undefined && !(settings.uid === 'assigned' && undeclared)) {
      findings.push(findingAt(index, 'mode', whyNoUser(consumers)))
    } else if (first === undefined) {
      first = { index, uid }
    } else if (first.uid !== uid) {
      findings.push(
        findingAt(index, 'mode', {
          problem: `makes user ${uid ?? 'of the platform'} the files' owner, but entry ${first.index + 1} makes it ${first.uid ?? 'that of the platform'}, and the sidecar is one user`,
          fix: 'write mode: "0440" in one of them, or declare one runAsUser for both',
        }),
      )
    }
  })
  if (findings.length > 0) return { findings }
  return first === undefined ? { decided: false } : { decided: true, uid: first.uid }
}

function whyNoUser(consumers: readonly ContainerFacts[]): { problem: string; fix: string } {
  const root = consumers.find(({ uid }) => uid === 0)
  if (root !== undefined) {
    return {
      problem: `lets only the owner read, but container ${root.name} runs as root and the sidecar never does`,
      fix: 'write mode: "0440", or declare another runAsUser for it',
    }
  }
  const silent = consumers.find(({ uid }) => uid === undefined)
  const fix = 'declare one runAsUser for all of its containers, or write mode: "0440"'
  return silent === undefined
    ? {
        problem: `lets only the owner read, but its containers run as ${[...new Set(consumers.map(({ uid }) => uid))].join(' and ')}`,
        fix,
      }
    : {
        problem: `lets only the owner read, but container ${silent.name} declares no runAsUser to be that`,
        fix,
      }
}

/** The sidecar's groups: it must be in every group that it gives a file. */
function decideGroups(
  entries: readonly MountEntry[],
  options: {
    readonly consumed: readonly ConsumedEntry[]
    readonly facts: PodFacts
    readonly settings: OwnerSettings
  },
):
  | { readonly gid: number | undefined; readonly addGroups: readonly number[] }
  | { readonly findings: readonly PlacedFinding[] } {
  const { consumed, facts, settings } = options
  const present = new Set([...facts.supplementalGroups, facts.fsGroup])
  const add = new Set<number>()
  let primary: number | undefined
  const findings: PlacedFinding[] = []
  entries.forEach(({ group }, index) => {
    if (group === undefined || present.has(group)) return
    if (group === settings.gid) {
      add.add(group)
      return
    }
    const readers = consumed[index]?.consumers ?? []
    const isTheirs = readers.length > 0 && readers.every(({ gid }) => gid === group)
    if (isTheirs && (primary === undefined || primary === group)) {
      primary = group
      return
    }
    findings.push(
      findingAt(index, 'group', {
        problem: `is ${group}, which is none of the pod's groups`,
        fix: `add ${group} to spec.securityContext.supplementalGroups, or remove group`,
      }),
    )
  })
  if (findings.length > 0) return { findings }
  const own = settings.uid === 'assigned' ? undefined : settings.gid
  return { gid: primary ?? own, addGroups: [...add] }
}
