import type { Clock } from '../../base/clock.ts'
import type { MountPlan } from '../../injection/plan.ts'
import type { Journal } from '../journal.ts'

/** What it works with. */
export interface DenialsOptions {
  readonly journal: Journal
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** Milliseconds since the machine started. */
  readonly bootMs: () => number
}

/**
 * Since when each entry's secret is denied or missing, and until when its files may stay. Measured by
 * a clock that does not jump; what the journal remembers over restarts is time since the machine
 * started, as the volumes do not outlive it either.
 */
export class Denials {
  readonly #plan: MountPlan
  readonly #options: DenialsOptions
  /** When the grace of an entry ends, by the monotonic clock. */
  readonly #due = new Map<number, number>()
  readonly #told = new Set<number>()

  constructor(plan: MountPlan, options: DenialsOptions) {
    this.#plan = plan
    this.#options = options
    const { journal, clock, bootMs } = options
    for (const [index, since] of Object.entries(journal.state.deniedSince)) {
      const grace = this.#graceOf(Number(index))
      const passed = Math.min(Math.max(bootMs() - since, 0), grace)
      this.#due.set(Number(index), clock.monotonicMs() + grace - passed)
    }
  }

  /** Takes down which entries are denied now; the others are forgotten. */
  note(denied: ReadonlySet<number>): void {
    const { journal, clock, bootMs } = this.#options
    for (const index of this.#due.keys()) {
      if (denied.has(index)) continue
      this.#due.delete(index)
      this.#told.delete(index)
    }
    const since: Record<string, number> = {}
    for (const index of denied) {
      since[index] = journal.state.deniedSince[index] ?? Math.round(bootMs())
      if (!this.#due.has(index)) this.#due.set(index, clock.monotonicMs() + this.#graceOf(index))
    }
    journal.update({ deniedSince: since })
  }

  /** Whether the grace of a denied entry has passed. */
  isOver(index: number): boolean {
    const due = this.#due.get(index)
    return due !== undefined && this.#options.clock.monotonicMs() >= due
  }

  /** Whether any grace has ended since this was last asked. */
  takeExpired(): boolean {
    const over = [...this.#due.keys()].filter((index) => this.isOver(index))
    const news = over.some((index) => !this.#told.has(index))
    this.#told.clear()
    for (const index of over) this.#told.add(index)
    return news
  }

  /**
   * When {@link takeExpired} next has something to tell, by the monotonic clock: in the past for a
   * grace that ended while no process was there.
   */
  nextDue(): number | undefined {
    const coming = [...this.#due].flatMap(([index, due]) => (this.#told.has(index) ? [] : [due]))
    return coming.length === 0 ? undefined : Math.min(...coming)
  }

  #graceOf(index: number): number {
    const decision = this.#plan.entries[index]?.onDenied
    return decision?.kind === 'remove' ? decision.graceMs : 0
  }
}
