import { parse } from 'yaml'
import { readPodFacts } from '../../src/injection/pod/facts.ts'
import type { PodFacts } from '../../src/injection/pod/facts.ts'
import type { JsonObject } from '../../src/injection/pod/json.ts'
import { placePlan } from '../../src/injection/pod/place.ts'
import type { PlacementResult, Placement } from '../../src/injection/pod/place.ts'
import { defaultOwnerSettings } from '../../src/injection/pod/settings.ts'
import type { OwnerSettings } from '../../src/injection/pod/settings.ts'
import { readPlan } from '../../src/injection/parse.ts'
import { describeProblem } from '../../src/injection/problem.ts'

/** The facts of a pod whose `spec` is given as YAML. */
export function factsOf(spec: string): PodFacts {
  return readPodFacts({ spec: parse(spec) as JsonObject })
}

/** Places the entries of a list, given as YAML, in a pod, whose spec is given as YAML. */
export function place(
  list: string,
  spec: string,
  settings: Partial<OwnerSettings> = {},
): PlacementResult {
  const reading = readPlan(list)
  if (reading.kind === 'problems') throw new Error(reading.problems.map(describeProblem).join('\n'))
  return placePlan(reading, factsOf(spec), { ...defaultOwnerSettings, ...settings })
}

/** As {@link place}, for what has no problem. */
export function placed(...args: Parameters<typeof place>): Placement {
  const result = place(...args)
  if (result.kind === 'placement') return result.placement
  throw new Error(result.problems.map(describeProblem).join('\n'))
}

/** As {@link place}, for what has problems: their lines and words. */
export function refused(...args: Parameters<typeof place>): readonly string[] {
  const result = place(...args)
  if (result.kind === 'placement') return []
  return result.problems.map((problem) => `${problem.place.line} ${describeProblem(problem)}`)
}
