import type { EntryPlaces } from '../entry.ts'
import type { Finding, Problem } from '../problem.ts'

/** What is wrong with an entry, or with the pod as a whole, before its place in a text is known. */
export interface PlacedFinding extends Finding {
  /** The entry, counted from 0; `undefined` when the pod is at fault. */
  readonly entry: number | undefined
  readonly field: string | undefined
}

/** A finding about one field of one entry. */
export function findingAt(entry: number, field: string, finding: Finding): PlacedFinding {
  return { entry, field, ...finding }
}

/** A finding about the pod. */
export function findingAboutPod(finding: Finding): PlacedFinding {
  return { entry: undefined, field: undefined, ...finding }
}

/** The finding with its place: the field's, if it was written, else the entry's, else the start. */
export function toProblem(
  { entry, field, problem, fix }: PlacedFinding,
  places: readonly EntryPlaces[],
): Problem {
  const at = entry === undefined ? undefined : places[entry]
  const place = at?.fields.get(field?.split('.', 1)[0] ?? '') ?? at?.entry
  return { place: place ?? { line: 1, column: 1 }, entry, field, problem, fix }
}
