import type { LatchkeyError } from '../../base/errors.ts'
import type { MountEntry } from '../../injection/plan.ts'
import type { SetItem, UnavailableReason } from '../broker/messages.ts'
import { render } from '../render/render.ts'
import type { RenderedFile } from '../render/render.ts'

/** Why files go: the broker's decisions, a key that its secret lacks, and a limit of staleness. */
export type RemovalReason = 'denied' | 'not-found' | 'missing-key' | 'stale'

/** What is to become of an entry's files. */
export type Decision =
  | { readonly kind: 'publish'; readonly files: readonly RenderedFile[] }
  /** What is there stays as it is: nothing was decided, or the entry says so. */
  | { readonly kind: 'retain' }
  /** The value cannot be rendered: what is there stays, and so does the rest of its directory. */
  | { readonly kind: 'hold'; readonly error: LatchkeyError }
  | { readonly kind: 'remove' }

/** What is known of an entry, for people, metrics and exit codes. */
export type EntryState =
  /** Nothing was heard of it since this process started. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'ready' }
  | { readonly kind: 'unavailable'; readonly reason: UnavailableReason }
  | { readonly kind: 'not-renderable'; readonly error: LatchkeyError }
  | {
      readonly kind: 'gone'
      readonly reason: RemovalReason
      /** The keys that the secret lacks. */
      readonly keys: readonly string[]
    }

/**
 * What was last said of an entry. A ready one has its files only until they are published; after that
 * the volume alone has them.
 */
export interface Reading {
  readonly state: EntryState
  readonly files?: readonly RenderedFile[]
}

/** Reads one item for one entry. `undefined` stands for a broker that left it out, which decides nothing. */
export function readItem(entry: MountEntry, item: SetItem | undefined): Reading {
  if (item === undefined) return { state: { kind: 'unavailable', reason: 'unspecified' } }
  switch (item.status) {
    case 'unavailable':
      return { state: { kind: 'unavailable', reason: item.unavailableReason } }
    case 'denied':
    case 'not-found':
      return { state: { kind: 'gone', reason: item.status, keys: [] } }
    case 'ready': {
      const rendering = render(entry, item.entries)
      switch (rendering.kind) {
        case 'files':
          return { state: { kind: 'ready' }, files: rendering.files }
        case 'missing':
          return { state: { kind: 'gone', reason: 'missing-key', keys: rendering.keys } }
        case 'refused':
          return { state: { kind: 'not-renderable', error: rendering.error } }
      }
    }
  }
}

/**
 * What a state means for the files that are there. `graceOver` says whether the entry's grace after a
 * decision has passed.
 */
export function decide(
  entry: MountEntry,
  reading: Reading,
  context: { readonly graceOver: boolean },
): Decision {
  if (reading.files !== undefined) return { kind: 'publish', files: reading.files }
  const { state } = reading
  switch (state.kind) {
    case 'unknown':
    case 'ready':
    case 'unavailable':
      return { kind: 'retain' }
    case 'not-renderable':
      return { kind: 'hold', error: state.error }
    case 'gone':
      // A limit of staleness is the operator's; an entry cannot opt out of it.
      if (state.reason === 'stale') return { kind: 'remove' }
      if (entry.onDenied.kind === 'keep' || !context.graceOver) return { kind: 'retain' }
      return { kind: 'remove' }
  }
}
