import type { Clock } from '../base/clock.ts'

/** Opens that one origin may make at once, and how soon it may make one more, in milliseconds. */
const burst = 10
const oneMoreMs = 250
/** Origins that are remembered; the one that opened longest ago is forgotten first. */
const maxOrigins = 4_096

/**
 * How often one origin may open a stream. A sidecar that is killed again and again is let in each
 * time: the kubelet does not start it faster. A flood is let in four times a second.
 */
export class OpenAllowance {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  /** When each origin's bucket is full again, those that opened last at the end. */
  readonly #fullAtMs = new Map<string, number>()

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock
  }

  /** Whether `origin` may open a stream now; if so, that is counted. */
  spend(origin: string): boolean {
    const now = this.#clock.monotonicMs()
    const fullAtMs = Math.max(this.#fullAtMs.get(origin) ?? now, now) + oneMoreMs
    if (fullAtMs - now > burst * oneMoreMs) return false
    this.#fullAtMs.delete(origin)
    this.#fullAtMs.set(origin, fullAtMs)
    const [longestUnseen] = this.#fullAtMs.keys()
    if (this.#fullAtMs.size > maxOrigins && longestUnseen !== undefined) {
      this.#fullAtMs.delete(longestUnseen)
    }
    return true
  }
}
