import { directoryOf } from './consistency.ts'
import type { MountEntry, MountPlan } from './plan.ts'

/** A directory that is one volume and is published as one set. */
export interface TargetDirectory {
  readonly path: string
  /** The entries that fill it, in declared order. All have the same `containers` and `group`. */
  readonly entries: readonly MountEntry[]
}

/** The volumes of a plan: its directories in order of their first entry, and its bound files. */
export interface Targets {
  readonly directories: readonly TargetDirectory[]
  readonly boundFiles: readonly MountEntry[]
}

/** Groups the entries of a plan by where they are published. */
export function targetsOf(plan: MountPlan): Targets {
  const byPath = Map.groupBy(plan.entries, (entry) => directoryOf(entry))
  const directories: TargetDirectory[] = []
  for (const [path, entries] of byPath) {
    if (path !== undefined) directories.push({ path, entries })
  }
  return { directories, boundFiles: byPath.get(undefined) ?? [] }
}
