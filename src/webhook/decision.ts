import type { ErrorCode } from '../base/errors.ts'
import { secretsAnnotation } from '../injection/names.ts'
import type { MountPlan } from '../injection/plan.ts'
import { describeProblem, type Problem } from '../injection/problem.ts'
import type { AdmissionAnswer } from './review.ts'

/** What became of a request, for metrics and audit. */
export type Outcome = 'injected' | 'refused' | 'left' | 'accepted'

/** A decision, and what it was about. */
export interface Decision {
  readonly outcome: Outcome
  readonly why?: ErrorCode
  readonly answer: AdmissionAnswer
  readonly plan?: { readonly plan: MountPlan; readonly digest: string }
}

/** The decision to change nothing. */
export function left(warnings: readonly string[] = []): Decision {
  return { outcome: 'left', answer: { allowed: true, warnings, annotations: {} } }
}

/** The decision against it. */
export function refuse(message: string, why: ErrorCode = 'ERR_FORBIDDEN'): Decision {
  return {
    outcome: 'refused',
    why,
    answer: { allowed: false, message, warnings: [], annotations: { decision: 'refused' } },
  }
}

const shownProblems = 20

/** Problems of a list of secrets as its author is told them, a line each. */
export function describeProblems(problems: readonly Problem[]): string {
  const lines = problems
    .slice(0, shownProblems)
    .map((problem) => `line ${problem.place.line}: ${describeProblem(problem)}`)
  if (problems.length > shownProblems) lines.push(`and ${problems.length - shownProblems} more`)
  return `${secretsAnnotation}: ${lines.join('\n')}`
}
