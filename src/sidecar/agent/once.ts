import type { MountPlan } from '../../injection/plan.ts'
import type { Goodbye, GoodbyeReason } from '../broker/messages.ts'
import { LatchkeyError } from '../../base/errors.ts'
import type { EntryState } from './decide.ts'
import type { AgentEnd, Shortfall } from './end.ts'
import type { Entries } from './entries.ts'
import type { PublishedFiles } from './published-files.ts'

/** How a run with `once` ends after a set was dealt with; `undefined` while it has to wait. */
export function endAfterSet(
  plan: MountPlan,
  parts: { readonly entries: Entries; readonly files: PublishedFiles },
): AgentEnd | undefined {
  const { entries, files } = parts
  const shortfalls = plan.entries.flatMap((entry, index): Shortfall[] => {
    // What an earlier run was told may be no longer so.
    if (entries.untold.has(index)) return []
    const why = whyNot(entries.reading(index).state)
    return why === undefined ? [] : [{ secret: entry.secret, path: entry.path, why }]
  })
  if (shortfalls.length > 0) return { kind: 'denied', shortfalls }
  const [problem] = files.problems
  if (problem !== undefined) return { kind: 'failed', error: problem.error }
  for (const state of entries.states) {
    if (state.kind === 'not-renderable') return { kind: 'failed', error: state.error }
  }
  const all = plan.entries.every(
    (_, index) => entries.reading(index).state.kind === 'ready' && files.isInPlace(index),
  )
  return all ? { kind: 'published' } : undefined
}

/** How a run with `once` ends when the broker ends the stream; `undefined` when it is worth another try. */
export function endAfterGoodbye({ reason }: Goodbye): AgentEnd | undefined {
  if (refusals.has(reason)) return { kind: 'refused', reason }
  if (reason !== 'protocol-version' && reason !== 'invalid-message') return undefined
  const error = new LatchkeyError('ERR_BROKER_PROTOCOL', `the broker refused: ${reason}`, {
    hint: 'check that broker and sidecar are releases that belong together',
  })
  return { kind: 'failed', error }
}

const refusals: ReadonlySet<GoodbyeReason> = new Set([
  'token-refused',
  'token-expired',
  'pod-gone',
  'pod-finished',
  'pod-not-injected',
  'peer-address',
])

function whyNot(state: EntryState): string | undefined {
  if (state.kind !== 'gone') return undefined
  switch (state.reason) {
    case 'denied':
      return 'the service account may not mount it'
    case 'not-found':
      return 'there is no such secret'
    case 'missing-key':
      return `it has no key ${state.keys.join(', ')}`
    case 'stale':
      return 'it is older than allowed'
  }
}
