import type { Clock } from '../../base/clock.ts'
import { Doorbell } from '../../base/doorbell.ts'

/** Nothing is tidied while there is work, in milliseconds since the last of it, */
const quietMs = 2_000
/** nor put off for longer than this, where there is always some. */
const latestMs = 30_000

/**
 * Gives memory back after work, in a pause: most of the time a sidecar has nothing to do, and what
 * it does leaves several megabytes of garbage in every pod, which nothing else would have collected.
 */
export class Tidying {
  readonly #tidy: () => void
  readonly #clock: Pick<Clock, 'monotonicMs' | 'sleep'>
  readonly #worked = new Doorbell()
  /** When there was work last that is not tidied up after. */
  #workedAtMs: number | undefined

  /** `tidy` may take some milliseconds, during which nothing else is done. */
  constructor(tidy: () => void, clock: Pick<Clock, 'monotonicMs' | 'sleep'>) {
    this.#tidy = tidy
    this.#clock = clock
  }

  /** There was work. */
  note(): void {
    this.#workedAtMs = this.#clock.monotonicMs()
    this.#worked.ring()
  }

  /** Tidies up in each pause after work, until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const clock = this.#clock
    for (;;) {
      await this.#worked.wait({ signal, clock })
      signal.throwIfAborted()
      const latestAtMs = clock.monotonicMs() + latestMs
      while (this.#workedAtMs !== undefined) {
        const waitMs = Math.min(this.#workedAtMs + quietMs, latestAtMs) - clock.monotonicMs()
        if (waitMs > 0) {
          await clock.sleep(waitMs, signal)
          continue
        }
        this.#workedAtMs = undefined
        this.#tidy()
      }
    }
  }
}
