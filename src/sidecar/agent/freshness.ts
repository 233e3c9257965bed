import type { Clock } from '../../base/clock.ts'
import type { Staleness } from './staleness.ts'

/** What it works with. */
export interface FreshnessOptions {
  readonly staleness: Staleness
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** Whether anything is published: what is not cannot be stale. */
  readonly published: () => boolean
  /** The operator's limit; none by default. */
  readonly maxStaleMs: number | undefined
}

/** How old what is published may be by now, and whether that is beyond the operator's limit. */
export class Freshness {
  readonly #options: FreshnessOptions
  /** Since when something is open: not told by the broker, or not published. */
  #openSince: number | undefined
  /** Whether the limit was passed since the last set. */
  #passed = false

  constructor(options: FreshnessOptions) {
    this.#options = options
  }

  /** Milliseconds since everything that is published was last known to be right; 0 if nothing is. */
  get ms(): number {
    const { staleness, clock, published } = this.#options
    if (!published()) return 0
    const open = this.#openSince === undefined ? 0 : clock.monotonicMs() - this.#openSince
    return Math.max(staleness.ms, open)
  }

  get isBeyondLimit(): boolean {
    const { maxStaleMs } = this.#options
    return maxStaleMs !== undefined && this.ms >= maxStaleMs
  }

  /** A set has come: the limit counts anew. */
  renew(): void {
    this.#passed = false
  }

  /** Says whether anything of the last set is open. */
  note(open: boolean): void {
    this.#openSince = open ? (this.#openSince ?? this.#options.clock.monotonicMs()) : undefined
  }

  /** A set that leaves nothing open is a confirmation of its own. */
  confirmBySet(): void {
    if (this.#openSince === undefined) this.confirm(0)
  }

  /** Everything was right `staleMs` milliseconds ago. Throws `ERR_IO`. */
  confirm(staleMs: number): void {
    this.#options.staleness.confirm(staleMs)
  }

  disconnect(): void {
    this.#options.staleness.disconnect()
  }

  /** When the limit would be passed, by the monotonic clock. */
  nextDue(): number | undefined {
    const { maxStaleMs, clock } = this.#options
    if (maxStaleMs === undefined || this.#passed) return undefined
    // While all is confirmed the limit moves on with the clock; looking once per limit is enough.
    return clock.monotonicMs() + Math.max(maxStaleMs - this.ms, 0)
  }

  /** Whether the limit has just been passed: true once, until the next set. */
  takePassed(): boolean {
    if (this.#passed || !this.isBeyondLimit) return false
    this.#passed = true
    return true
  }
}
