import type { Clock } from '../base/clock.ts'
import { LatchkeyError } from '../base/errors.ts'

/** Messages that a client may send a second, on average and at once. */
const rate = { perSecond: 5, burst: 50 } as const
/** A set is answered once, and once more when a hook has succeeded late. */
const perSet = 2
/** A client that was held up answers many sets at once; more than these it need not. */
const mostEarned = 2_000

/**
 * How many messages one stream may still send: nearly all are acknowledgements. Each set that it is sent earns it some, so
 * that a client which answers every set stays, however fast secrets change; beyond that it is time
 * that earns them, so that a flood is cut off.
 */
export class MessageAllowance {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  #left: number = rate.burst
  #atMs = 0

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock
  }

  /** A set was sent. */
  earn(): void {
    this.#left = Math.min(mostEarned, this.#left + perSet)
  }

  /** A message came. Throws `ERR_LIMIT` when it is one too many. */
  spend(): void {
    const now = this.#clock.monotonicMs()
    const earned = ((now - this.#atMs) / 1000) * rate.perSecond
    const left = Math.max(this.#left, Math.min(rate.burst, this.#left + earned)) - 1
    if (left < 0) throw new LatchkeyError('ERR_LIMIT', 'too many messages')
    this.#left = left
    this.#atMs = now
  }
}
