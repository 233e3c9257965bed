import type { MountPlan } from './plan.ts'
import { planInvalid } from './problem.ts'
import { checkSize, validate } from './validate.ts'
import type { PlanReading } from './validate.ts'
import { readYaml } from './yaml-tree.ts'

/** Reads the text of annotation `latchkey.dev/secrets`, or of a file in its form. Never throws. */
export function readPlan(text: string): PlanReading {
  const tooLong = checkSize(text)
  if (tooLong !== undefined) return { kind: 'problems', problems: [tooLong] }
  const { tree, problems } = readYaml(text)
  return tree === undefined ? { kind: 'problems', problems } : validate(tree)
}

/** As {@link readPlan}, for callers that can only go on with a plan. Throws `ERR_PLAN_INVALID`. */
export function parsePlan(text: string): MountPlan {
  const reading = readPlan(text)
  if (reading.kind === 'problems') throw planInvalid(reading.problems)
  return reading.plan
}
