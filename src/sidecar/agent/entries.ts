import type { MountPlan } from '../../injection/plan.ts'
import type { Log } from '../../observe/log.ts'
import { wipeSet, type SecretSet } from '../broker/messages.ts'
import type { SidecarMetrics } from '../metrics.ts'
import { readItem } from './decide.ts'
import type { EntryState, Reading } from './decide.ts'
import type { SidecarEvent } from './events.ts'

/** What it works with. */
export interface EntriesOptions {
  readonly log: Log<SidecarEvent>
  readonly metrics: SidecarMetrics
  /** The entries that were denied when an earlier process ended, by index: a decision outlives it. */
  readonly denied: Readonly<Record<string, number>>
}

/** What is known of each entry of a plan, and the rendered files that wait to be published. */
export class Entries {
  readonly #plan: MountPlan
  readonly #options: EntriesOptions
  #readings: readonly Reading[]
  #untold: ReadonlySet<number> = new Set()

  constructor(plan: MountPlan, options: EntriesOptions) {
    this.#plan = plan
    this.#options = options
    this.#readings = plan.entries.map((_, index) => ({
      state: Object.hasOwn(options.denied, index)
        ? { kind: 'gone', reason: 'denied', keys: [] }
        : { kind: 'unknown' },
    }))
    this.#measure()
  }

  /** What was last said of entry `index`. */
  reading(index: number): Reading {
    return this.#readings[index] ?? { state: { kind: 'unknown' } }
  }

  /** The states of all entries, in their order. */
  get states(): readonly EntryState[] {
    return this.#readings.map(({ state }) => state)
  }

  /** The entries of which the last set could not tell anything. */
  get untold(): ReadonlySet<number> {
    return this.#untold
  }

  /** The entries for which `matches` holds. */
  where(matches: (state: EntryState) => boolean): ReadonlySet<number> {
    return new Set(this.states.flatMap((state, index) => (matches(state) ? [index] : [])))
  }

  /** Takes in a set, and wipes it. */
  take(set: SecretSet): void {
    const items = new Map(set.items.map((item) => [item.secret, item]))
    try {
      const told = this.#plan.entries.map((entry) => readItem(entry, items.get(entry.secret)))
      this.#untold = new Set(
        told.flatMap(({ state }, index) => (state.kind === 'unavailable' ? [index] : [])),
      )
      this.#replace(told.map((reading, index) => this.#standing(index) ?? reading))
    } finally {
      wipeSet(set)
    }
  }

  /** Takes down that everything is older than the operator allows. */
  expire(): void {
    const state = { kind: 'gone', reason: 'stale', keys: [] } as const
    this.#replace(this.#plan.entries.map(() => ({ state })))
  }

  /** Wipes the rendered files of an entry: they are on the volume now. */
  forgetFiles(index: number): void {
    for (const { bytes } of this.reading(index).files ?? []) bytes[Symbol.dispose]()
    this.#readings = this.#readings.map((reading, each) =>
      each === index ? { state: reading.state } : reading,
    )
  }

  /** What was decided of an entry and stands: that nobody can tell is no other decision. */
  #standing(index: number): Reading | undefined {
    const { state } = this.reading(index)
    const decided = state.kind === 'gone' && state.reason !== 'stale'
    return decided && this.#untold.has(index) ? { state } : undefined
  }

  #replace(readings: readonly Reading[]): void {
    const before = this.#readings
    before.forEach((_, index) => {
      this.forgetFiles(index)
    })
    this.#readings = readings
    readings.forEach(({ state }, index) => {
      const former = before[index]?.state
      if (former === undefined || !sameState(former, state)) this.#tell(index, state)
    })
    this.#measure()
  }

  #tell(index: number, state: EntryState): void {
    const { secret, path } = this.#plan.entries[index] ?? {}
    const fields = { secret, path, state: state.kind }
    switch (state.kind) {
      case 'unknown':
        return
      case 'ready':
        this.#options.log.info('entry.state', fields)
        return
      case 'unavailable':
        this.#options.log.warn('entry.state', { ...fields, reason: state.reason })
        return
      case 'not-renderable':
        this.#options.log.error('entry.state', fields, state.error)
        return
      case 'gone':
        this.#options.log.warn('entry.state', { ...fields, reason: state.reason, keys: state.keys })
    }
  }

  #measure(): void {
    const counts = new Map<string, number>(
      ['unknown', 'ready', 'unavailable', 'not-renderable', 'gone'].map((kind) => [kind, 0]),
    )
    for (const { kind } of this.states) counts.set(kind, (counts.get(kind) ?? 0) + 1)
    for (const [kind, count] of counts) {
      this.#options.metrics.set('entries', count, `state="${kind}"`)
    }
  }
}

function sameState(a: EntryState, b: EntryState): boolean {
  const detail = (state: EntryState): string =>
    state.kind === 'not-renderable' ? state.error.message : 'reason' in state ? state.reason : ''
  return a.kind === b.kind && detail(a) === detail(b)
}
