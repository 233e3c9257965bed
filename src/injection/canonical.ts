import { readJson } from './json-tree.ts'
import type { MountPlan } from './plan.ts'
import { printPlan } from './print.ts'
import { checkSize, validate } from './validate.ts'

/**
 * Reads a plan that is spelled as `printPlan` spells it, without loading a YAML parser.
 *
 * @returns `undefined` when `text` is anything else, also a wrong plan in JSON: the full reader then
 * reads it, or says at which line it is wrong. JSON keeps the last of two equal names where the
 * grammar refuses both, so a text counts as canonical only if it prints as itself.
 */
export function readCanonicalPlan(text: string): MountPlan | undefined {
  if (!text.startsWith('[') || checkSize(text) !== undefined) return undefined
  const tree = readJson(text)
  const reading = tree === undefined ? undefined : validate(tree)
  if (reading?.kind !== 'plan') return undefined
  return printPlan(reading.plan).trimEnd() === text.trimEnd() ? reading.plan : undefined
}
