import type { EntryPlaces } from './entry.ts'
import { isWithin, nameOf, parentOf } from './paths.ts'
import type { MountEntry } from './plan.ts'
import type { Finding, Problem } from './problem.ts'

/** An entry with where it stands. */
export interface PlacedEntry {
  readonly entry: MountEntry
  readonly places: EntryPlaces
  readonly index: number
}

/** The problems that no entry has by itself: overlaps, and what entries share but disagree on. */
export function checkTogether(placed: readonly PlacedEntry[]): Problem[] {
  const problems: Problem[] = []
  placed.forEach((later, position) => {
    for (const earlier of placed.slice(0, position)) {
      const found = overlap(earlier, later) ?? disagreement(earlier, later)
      if (found === undefined) continue
      problems.push(problemAt(later, found.field, found))
      return
    }
  })
  for (const each of placed) {
    const found = checkTouch(each, placed) ?? checkSignal(each, placed)
    if (found !== undefined) problems.push(problemAt(each, found.field, found))
  }
  return problems
}

type FieldFinding = Finding & { readonly field: string }

function problemAt(at: PlacedEntry, field: string, { problem, fix }: Finding): Problem {
  const place = at.places.fields.get(field.split('.', 1)[0] ?? field) ?? at.places.entry
  return { place, entry: at.index, field, problem, fix }
}

/** The directory that becomes a volume for the entry; none when only a file is bound. */
export function directoryOf(entry: MountEntry): string | undefined {
  if (entry.mount.kind === 'file') return undefined
  return entry.content.kind === 'files' ? entry.path : parentOf(entry.path)
}

function overlap(earlier: PlacedEntry, later: PlacedEntry): FieldFinding | undefined {
  const [mine, theirs] = [directoryOf(later.entry), directoryOf(earlier.entry)]
  const [path, other] = [later.entry.path, earlier.entry.path]
  const name = `entry ${earlier.index + 1}`
  if (path === other) {
    return {
      field: 'path',
      problem: `is already the target of ${name}`,
      fix: 'choose another path',
    }
  }
  if (mine !== undefined && mine === theirs) {
    const whole = [earlier, later].find(({ entry }) => entry.content.kind === 'files')
    if (whole === undefined) return undefined
    const who = whole === earlier ? name : 'this entry'
    return {
      field: 'path',
      problem: `shares ${mine} with ${name}, but ${who} fills the directory with files not known in advance`,
      fix: 'give each a directory of its own',
    }
  }
  const [mineTree, theirTree] = [mine ?? path, theirs ?? other]
  const inside = isWithin(mineTree, theirTree)
  if (!inside && !isWithin(theirTree, mineTree)) return undefined
  // Two bound files collide only when one is the other's directory, which no image can have.
  return {
    field: 'path',
    problem: inside
      ? `lies in ${theirTree}, which ${name} fills`
      : `fills ${mineTree}, in which ${name} lies`,
    fix: 'put both files in one directory, or the two in directories side by side',
  }
}

function disagreement(earlier: PlacedEntry, later: PlacedEntry): FieldFinding | undefined {
  const directory = directoryOf(later.entry)
  if (directory === undefined || directory !== directoryOf(earlier.entry)) return undefined
  const name = `entry ${earlier.index + 1}`
  const [mine, theirs] = [later.entry.containers, earlier.entry.containers]
  if (mine?.join() !== theirs?.join()) {
    return {
      field: 'containers',
      problem: `differs from ${name}, which fills the same directory ${directory}`,
      fix: 'name the same containers, or use two directories',
    }
  }
  if (later.entry.group !== earlier.entry.group) {
    return {
      field: 'group',
      problem: `differs from ${name}, which fills the same directory ${directory}`,
      fix: 'write the same group, or use two directories',
    }
  }
  return undefined
}

function checkTouch(each: PlacedEntry, placed: readonly PlacedEntry[]): FieldFinding | undefined {
  const hook = each.entry.onChange
  if (hook?.kind !== 'touch') return undefined
  const field = 'onChange.touch'
  const directory = parentOf(hook.path)
  if (!placed.some(({ entry }) => directoryOf(entry) === directory)) {
    return {
      field,
      problem: 'is in no directory that this list fills',
      fix: `write a name in ${directoryOf(each.entry) ?? 'one of them'}, such as ${
        directoryOf(each.entry) ?? '/etc/app/db'
      }/.changed`,
    }
  }
  const target = placed.find(({ entry }) => entry.path === hook.path)
  if (target === undefined) return undefined
  return {
    field,
    problem: `is the target of entry ${target.index + 1}, ${nameOf(hook.path)}`,
    fix: 'choose another name',
  }
}

function checkSignal(each: PlacedEntry, placed: readonly PlacedEntry[]): FieldFinding | undefined {
  if (each.entry.containers === undefined) return undefined
  const signalling = placed.find(({ entry }) => entry.onChange?.kind === 'signal')
  if (signalling === undefined) return undefined
  return {
    field: 'containers',
    problem: `cannot hold, because entry ${signalling.index + 1} sends a signal: a pod that shares process ids is one trust domain`,
    fix: 'remove containers, or use onChange: { http: … }',
  }
}
