import type { Clock } from '../base/clock.ts'
import { encodeHeartbeat } from './encode.ts'

/** Heartbeats are sent a little early rather than late: the client counts the ones that are missing. */
const earlyMs = 1_500

/** When a stream's next heartbeat is due, and what it says. */
export class Heartbeats {
  readonly #clock: Clock
  readonly #intervalMs: number
  #dueAtMs: number
  /** Whether the last one said that something is stale. */
  #toldStale = false

  constructor(clock: Clock, intervalMs: number) {
    this.#clock = clock
    this.#intervalMs = intervalMs
    this.#dueAtMs = clock.monotonicMs() + intervalMs - earlyMs
  }

  /** The next one is due now. */
  hasten(): void {
    this.#dueAtMs = 0
  }

  /** The heartbeat that is due; `undefined` when none is. */
  next(about: { readonly staleMs: number; readonly sequence: number }): Buffer | undefined {
    const now = this.#clock.monotonicMs()
    // That all is well again is told at once.
    const mended = this.#toldStale && about.staleMs === 0
    if (now < this.#dueAtMs && !mended) return undefined
    this.#dueAtMs = now + this.#intervalMs - earlyMs
    this.#toldStale = about.staleMs > 0
    return encodeHeartbeat(about)
  }
}
