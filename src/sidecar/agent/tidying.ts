import type { Clock } from '../../base/clock.ts'
import { Doorbell } from '../../base/doorbell.ts'

/** Nothing is tidied while there is work, in milliseconds since the last of it, */
const quietMs = 2_000
/** nor put off for longer than this, where there is always some, */
const latestMs = 30_000
/** nor for more pieces of work than this: each leaves some seven kilobytes. */
const mostWork = 50

/** Gives memory back: quickly, while there is work, or thoroughly, in a pause. */
export type Tidy = (how: 'quickly' | 'thoroughly') => void

/**
 * Gives memory back after work, in a pause: most of the time a sidecar has nothing to do, and what
 * it does leaves several megabytes of garbage in every pod, which nothing else would have collected.
 */
export class Tidying {
  readonly #tidy: Tidy
  readonly #clock: Pick<Clock, 'monotonicMs' | 'sleep'>
  readonly #worked = new Doorbell()
  readonly #much = new Doorbell()
  /** When there was work last that is not tidied up after. */
  #workedAtMs: number | undefined
  /** Pieces of work since then. */
  #work = 0

  /** `tidy` may take some milliseconds, during which nothing else is done. */
  constructor(tidy: Tidy, clock: Pick<Clock, 'monotonicMs' | 'sleep'>) {
    this.#tidy = tidy
    this.#clock = clock
  }

  /** There was work. */
  note(): void {
    this.#workedAtMs = this.#clock.monotonicMs()
    this.#work += 1
    this.#worked.ring()
    if (this.#work === mostWork) this.#much.ring()
  }

  /** Tidies up in each pause after work, or in the midst of much, until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const clock = this.#clock
    for (;;) {
      await this.#worked.wait({ signal, clock })
      signal.throwIfAborted()
      let latestAtMs = clock.monotonicMs() + latestMs
      while (this.#workedAtMs !== undefined) {
        const now = clock.monotonicMs()
        const waitMs = Math.min(this.#workedAtMs + quietMs, latestAtMs) - now
        if (waitMs > 0 && this.#work < mostWork) {
          await this.#much.wait({ signal, clock, ms: waitMs })
          signal.throwIfAborted()
          continue
        }
        const paused = now - this.#workedAtMs >= quietMs
        if (paused) this.#workedAtMs = undefined
        this.#work = 0
        latestAtMs = now + latestMs
        this.#tidy(paused ? 'thoroughly' : 'quickly')
      }
    }
  }
}
