import { isLatchkeyError } from '../../base/errors.ts'
import { effectiveMode } from '../../injection/plan.ts'
import type { JournalState } from '../journal.ts'
import { BoundFilePublisher } from '../publish/bound-file.ts'
import type { Decision } from './decide.ts'
import { noteHooks, skipped } from './target.ts'
import type { Applied, IndexedEntry, Inspection, Target, TargetOptions } from './target.ts'

type NotedState = JournalState['boundFiles'][string]

const nothing: Applied = { ...skipped, skipped: false }

/** A single file that is bound over one of the image. */
export function boundTarget(
  indexed: IndexedEntry,
  update: 'in-place' | 'restart',
  options: TargetOptions,
): Target {
  const { index, entry } = indexed
  const { root, operations, journal } = options
  const publisher = new BoundFilePublisher({ root, path: entry.path, update, operations })
  const before = (): 'absent' | NotedState => journal.state.boundFiles[index] ?? 'absent'
  const note = (state: NotedState): void => {
    journal.update({ boundFiles: { ...journal.state.boundFiles, [index]: state } })
  }
  const inspect = (): Inspection => {
    const there = publisher.recover()
    return { whole: there && before() === 'published' ? [index] : [], repaired: false }
  }
  const change = (decision: Decision | undefined): Applied => {
    switch (decision?.kind) {
      case 'publish': {
        const [file] = decision.files
        if (file === undefined) return nothing
        const access = { mode: effectiveMode(entry), group: entry.group }
        // Before it is there, so that after a crash a decision finds what to empty.
        if (before() === 'absent') note('begun')
        const was = before()
        const left = was === 'begun' ? 'absent' : was
        const outcome = publisher.publish({ ...access, bytes: file.bytes }, left, () => {
          noteHooks([index], [indexed], journal)
        })
        if (outcome === 'waits-for-restart') return { ...nothing, waiting: [index] }
        note('published')
        return { ...nothing, published: outcome === 'published' }
      }
      case 'remove': {
        const was = before()
        if (was === 'absent') return nothing
        try {
          if (was === 'published') noteHooks([index], [indexed], journal)
          // Noted first: after a crash in between, emptying is repeated.
          note('emptied')
        } finally {
          publisher.empty()
        }
        return { ...nothing, published: was === 'published' }
      }
      default:
        return skipped
    }
  }
  return {
    path: entry.path,
    entries: [indexed],
    adopt: () => {
      const inspection = inspect()
      if (before() === 'emptied') publisher.empty()
      return inspection
    },
    verify: inspect,
    apply: ([decision]) => {
      try {
        return change(decision)
      } catch (error) {
        if (!isLatchkeyError(error)) throw error
        return { ...skipped, failure: error }
      }
    },
    dropPrevious: () => undefined,
  }
}
