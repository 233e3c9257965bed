import { directoryOf } from '../../injection/consistency.ts'
import type { MountPlan } from '../../injection/plan.ts'
import { boundTarget } from './bound-target.ts'
import { directoryTarget } from './directory-target.ts'
import type { IndexedEntry, Target, TargetOptions } from './target.ts'

/** The targets of a plan in the order in which they are published: that of their first entries. */
export function openTargets(plan: MountPlan, options: TargetOptions): readonly Target[] {
  const groups = new Map<string, IndexedEntry[]>()
  for (const [index, entry] of plan.entries.entries()) {
    const path = directoryOf(entry) ?? entry.path
    const group = groups.get(path)
    if (group === undefined) groups.set(path, [{ index, entry }])
    else group.push({ index, entry })
  }
  return [...groups].map(([path, entries]) => {
    const [first] = entries
    const mount = first?.entry.mount
    return first !== undefined && mount?.kind === 'file'
      ? boundTarget(first, mount.update, options)
      : directoryTarget(path, entries, options)
  })
}
