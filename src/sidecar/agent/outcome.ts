import type { ErrorCode } from '../../base/errors.ts'
import type { MountPlan } from '../../injection/plan.ts'
import type { Outcome } from '../broker/messages.ts'
import type { Entries } from './entries.ts'
import type { PublishedFiles } from './published-files.ts'

/** What became of a set, for its acknowledgement. */
export interface SetOutcome {
  readonly outcome: Outcome
  /** The secret at fault, or empty. */
  readonly secret: string
}

/** The worst of what became of the newest set; `undefined` while part of it still waits to be published. */
export function outcomeOf(
  plan: MountPlan,
  parts: {
    readonly files: Pick<PublishedFiles, 'problems' | 'waiting' | 'isInPlace'>
    readonly entries: Pick<Entries, 'states'>
    readonly hookFailing: boolean
  },
): SetOutcome | undefined {
  const [problem] = parts.files.problems
  if (problem !== undefined) {
    const secret = problem.target.entries[0]?.entry.secret ?? ''
    return { outcome: outcomeOfCode(problem.error.code), secret }
  }
  const unrenderable = parts.entries.states.findIndex(
    (state) =>
      state.kind === 'not-renderable' || (state.kind === 'gone' && state.reason === 'missing-key'),
  )
  if (unrenderable >= 0) {
    return { outcome: 'not-renderable', secret: plan.entries[unrenderable]?.secret ?? '' }
  }
  const { files, entries } = parts
  const held = entries.states.some(
    (state, index) => state.kind === 'ready' && !files.isInPlace(index),
  )
  if (held) return undefined
  const [waiting] = files.waiting
  if (waiting !== undefined) {
    return { outcome: 'waits-for-restart', secret: plan.entries[waiting]?.secret ?? '' }
  }
  return { outcome: parts.hookFailing ? 'hook-failed' : 'written', secret: '' }
}

function outcomeOfCode(code: ErrorCode): Outcome {
  switch (code) {
    case 'ERR_DISK_FULL':
      return 'disk-full'
    case 'ERR_READ_ONLY':
      return 'read-only'
    case 'ERR_NOT_RENDERABLE':
      return 'not-renderable'
    default:
      return 'io-error'
  }
}
