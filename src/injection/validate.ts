import { checkTogether } from './consistency.ts'
import type { PlacedEntry } from './consistency.ts'
import { readEntry } from './entry.ts'
import type { EntryPlaces } from './entry.ts'
import { maxEntries, maxPlanBytes } from './plan.ts'
import type { MountPlan } from './plan.ts'
import type { Problem } from './problem.ts'
import { nounOf } from './tree.ts'
import type { Tree } from './tree.ts'

/** What reading a text came to: a plan, or everything that is wrong with it in order of the lines. */
export type PlanReading =
  | {
      readonly kind: 'plan'
      readonly plan: MountPlan
      /** Where each entry of the plan stood. */
      readonly places: readonly EntryPlaces[]
    }
  | { readonly kind: 'problems'; readonly problems: readonly Problem[] }

/** Problems that need no look at the text's structure: its size. */
export function checkSize(text: string): Problem | undefined {
  const bytes = Buffer.byteLength(text)
  if (bytes <= maxPlanBytes) return undefined
  return listProblem(`is ${bytes} bytes long, more than ${maxPlanBytes}`, 'shorten its templates')
}

/** Makes a plan of a parsed text. */
export function validate(tree: Tree): PlanReading {
  if (tree.kind !== 'list') {
    const problem = `expected a list of entries, got ${nounOf(tree)}`
    return failed([
      { ...listProblem(problem, 'start each entry with "- secret: NAME"'), place: tree.place },
    ])
  }
  if (tree.items.length === 0) {
    const fix = 'write at least one entry that starts with "- secret: NAME"'
    return failed([
      { ...listProblem('expected entries, got an empty list', fix), place: tree.place },
    ])
  }
  if (tree.items.length > maxEntries) {
    const problem = `has ${tree.items.length} entries, more than ${maxEntries}`
    const fix = 'mount whole secrets (a path that ends with /) instead of single keys'
    return failed([{ ...listProblem(problem, fix), place: tree.place }])
  }
  const problems: Problem[] = []
  const placed: PlacedEntry[] = []
  tree.items.forEach((item, index) => {
    const read = readEntry(item, index, problems)
    if (read !== undefined) placed.push({ ...read, index })
  })
  problems.push(...checkTogether(placed))
  if (problems.length > 0) return failed(problems)
  return {
    kind: 'plan',
    plan: { entries: placed.map(({ entry }) => entry) },
    places: placed.map(({ places }) => places),
  }
}

function listProblem(problem: string, fix: string): Problem {
  return { place: { line: 1, column: 1 }, entry: undefined, field: undefined, problem, fix }
}

function failed(problems: readonly Problem[]): PlanReading {
  const sorted = problems.toSorted(
    (a, b) => a.place.line - b.place.line || a.place.column - b.place.column,
  )
  return { kind: 'problems', problems: sorted }
}
