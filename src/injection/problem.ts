import { LatchkeyError } from '../base/errors.ts'
import type { Place } from './tree.ts'

/** One thing that is wrong with a plan's text, told so that it can be put right without a manual. */
export interface Problem {
  readonly place: Place
  /** The entry, counted from 0; `undefined` when the list as a whole is at fault. */
  readonly entry: number | undefined
  /** The field, such as `mode` or `onChange.http`; `undefined` when the entry as a whole is at fault. */
  readonly field: string | undefined
  /** What is wrong, without the field's name and without a full stop. */
  readonly problem: string
  /** What to do about it, in the imperative. */
  readonly fix: string
}

/** A problem before it is known which entry it belongs to. */
export type Finding = Pick<Problem, 'problem' | 'fix'>

/** `entry 2, mode: must not let others read; write mode: "0440"`: entries count from 1 for people. */
export function describeProblem(problem: Problem): string {
  const entry = problem.entry === undefined ? '' : `entry ${problem.entry + 1}`
  const where = [entry, problem.field ?? ''].filter((part) => part !== '').join(', ')
  return `${where === '' ? '' : `${where}: `}${problem.problem}; ${problem.fix}`
}

const shownProblems = 20

/** The error that a caller throws who can do nothing with a plan that has `problems`. */
export function planInvalid(problems: readonly Problem[]): LatchkeyError<'ERR_PLAN_INVALID'> {
  const lines = problems
    .slice(0, shownProblems)
    .map((problem) => `line ${problem.place.line}: ${describeProblem(problem)}`)
  const more = problems.length - lines.length
  if (more > 0) lines.push(`and ${more} more`)
  return new LatchkeyError('ERR_PLAN_INVALID', lines.join('\n'), {
    hint: 'correct the list of secrets; each line above says how',
  })
}
