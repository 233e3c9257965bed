import type { LatchkeyError } from '../../base/errors.ts'
import type { MountEntry } from '../../injection/plan.ts'
import type { Journal } from '../journal.ts'
import type { FileOperations } from '../publish/file-operations.ts'
import type { Decision } from './decide.ts'

/** An entry with its index in the plan. */
export interface IndexedEntry {
  readonly index: number
  readonly entry: MountEntry
}

/** What every target needs. */
export interface TargetOptions {
  /** Put before every path. */
  readonly root: string
  /** Digest of the plan. */
  readonly plan: string
  readonly operations: FileOperations
  readonly journal: Journal
  /** Notes a directory before anything is published in it. */
  readonly notePlace: (path: string) => void
}

/** What applying decisions to a target came to. */
export interface Applied {
  /** Whether everything was left as it is, because a set would not have been complete, or failed. */
  readonly skipped: boolean
  /** Whether readers see something else than before. */
  readonly published: boolean
  /** Whether something was put right that nobody but the sidecar should have touched. */
  readonly repaired: boolean
  /** Entries whose newer value waits for the pod to start anew. */
  readonly waiting: readonly number[]
  /** What kept the decisions from coming true; a repetition may help. */
  readonly failure: LatchkeyError | undefined
}

/** Of a target to which nothing was done. */
export const skipped: Applied = {
  skipped: true,
  published: false,
  repaired: false,
  waiting: [],
  failure: undefined,
}

/** What is left of an earlier publication. */
export interface Inspection {
  /** Entries whose files are all there. */
  readonly whole: readonly number[]
  readonly repaired: boolean
}

/** A directory or a bound file, and the entries that fill it. */
export interface Target {
  /** Path as the containers see it. */
  readonly path: string
  readonly entries: readonly IndexedEntry[]
  /** Takes over what an earlier process left. */
  adopt(): Inspection
  /** Looks whether what was published is still there. */
  verify(): Inspection
  /** Makes decisions, in order of the entries, come true. Never throws a `LatchkeyError`. */
  apply(decisions: readonly Decision[]): Applied
  /** Ends the grace of readers that still hold what was there before. */
  dropPrevious(): void
}

/**
 * Notes, before a change can be seen, that the hooks of `changed` are due. Before the pod has started
 * there is nobody to tell.
 */
export function noteHooks(
  changed: Iterable<number>,
  entries: readonly IndexedEntry[],
  journal: Journal,
): void {
  if (!journal.state.started) return
  const hooked = new Set(
    entries.filter(({ entry }) => entry.onChange !== undefined).map(({ index }) => index),
  )
  const due = [...changed].filter((index) => hooked.has(index))
  if (due.length === 0) return
  journal.markHooks(due)
}
