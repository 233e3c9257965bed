import { rfc3339 } from '../../../base/clock.ts'
import { LatchkeyError } from '../../../base/errors.ts'
import type { Annex } from '../../../keyring/annex.ts'

/** What happened, in the order in which it did. Written after the fact, one entry an event. */
export type JournalEntry = {
  /** Which rotation. */
  readonly rotation: string
  /** RFC 3339, UTC. */
  readonly at: string
} & (
  | { readonly what: 'begun'; readonly former: string; readonly generation: number }
  | { readonly what: 'staged'; readonly keyId: string; readonly found: boolean }
  | { readonly what: 'activated'; readonly keyId: string }
  | { readonly what: 'proved'; readonly servers: readonly string[] }
  | { readonly what: 'migrated'; readonly rewritten: number; readonly seconds: number }
  | {
      readonly what: 'retired'
      readonly keyIds: readonly string[]
      readonly revision: number
      readonly accepted: readonly string[]
    }
  | { readonly what: 'finished' | 'aborted' | 'overtaken' }
)

/** What an entry says besides which rotation and when. */
export type JournalFact = JournalEntry extends infer Entry
  ? Entry extends JournalEntry
    ? Omit<Entry, 'rotation' | 'at'>
    : never
  : never

/** A rotation that has begun and not ended. */
export interface OpenRotation {
  readonly id: string
  readonly startedAt: string
  /** Generation of the keyring before it. */
  readonly generation: number
  /** The active key before it. */
  readonly former: string
  /** The new key, once it is known to be staged. */
  readonly keyId: string | undefined
}

/** Entries of finished rotations that are kept. */
const keptEntries = 200
const kind = 'rotation'

/**
 * The journal of a keyring's rotations, in its annex. It tells which key an interrupted rotation is
 * about; how far that has come is told by the keyring, which alone decides what is safe.
 */
export class Journal {
  readonly #annex: Annex
  readonly #now: () => number

  constructor(annex: Annex, now: () => number) {
    this.#annex = annex
    this.#now = now
  }

  /** Every entry, oldest first. */
  async entries(): Promise<readonly JournalEntry[]> {
    return (await this.#annex.list(kind)).map(({ value }) => value as JournalEntry)
  }

  /** The rotation that has not ended, if there is one. */
  async open(): Promise<OpenRotation | undefined> {
    return openRotation(await this.entries())
  }

  /** Adds an entry; when this returns it survives a power cut. */
  async add(rotation: string, fact: JournalFact): Promise<void> {
    const entry = { rotation, at: rfc3339(this.#now()), ...fact }
    for (let attempt = 0; attempt < 20; attempt += 1) {
      const names = (await this.#annex.list(kind)).map(({ name }) => name)
      const next = String(Number(names.at(-1) ?? 0) + 1).padStart(10, '0')
      if (!(await this.#annex.create(kind, next, entry))) continue
      for (const name of names.slice(0, -keptEntries)) await this.#annex.remove(kind, name)
      return
    }
    throw new LatchkeyError('ERR_BUSY', `the journal in ${this.#annex.location} changes too fast`)
  }
}

/** What `entries` say of a rotation that has not ended. */
export function openRotation(entries: readonly JournalEntry[]): OpenRotation | undefined {
  let open: OpenRotation | undefined
  for (const entry of entries) {
    switch (entry.what) {
      case 'begun':
        open = {
          id: entry.rotation,
          startedAt: entry.at,
          generation: entry.generation,
          former: entry.former,
          keyId: undefined,
        }
        break
      case 'staged':
        if (open?.id === entry.rotation) open = { ...open, keyId: entry.keyId }
        break
      case 'finished':
      case 'aborted':
      case 'overtaken':
        if (open?.id === entry.rotation) open = undefined
        break
      case 'activated':
      case 'proved':
      case 'migrated':
      case 'retired':
    }
  }
  return open
}

/** Objects rewritten a second in the last rotation that rewrote enough to tell, for estimates. */
export function lastRate(entries: readonly JournalEntry[]): number | undefined {
  for (const entry of entries.toReversed()) {
    if (entry.what === 'migrated' && entry.rewritten >= 20 && entry.seconds > 0) {
      return entry.rewritten / entry.seconds
    }
  }
  return undefined
}
