import type { Clock } from '../../base/clock.ts'
import type { StateDirectory } from '../state-directory.ts'

const documentName = 'confirmed.json'
/** How often the confirmation is written down, in milliseconds. */
const writeEveryMs = 30_000
/** An age without end: the broker has not known since it started (broker.proto, Heartbeat). */
const endlessMs = Number.MAX_SAFE_INTEGER

/** What it works with. */
export interface StalenessOptions {
  readonly directory: StateDirectory
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** Milliseconds since the machine started, which a jump of the clock does not change. */
  readonly bootMs: () => number
}

/** How long ago everything that is published was last known to be right. */
export class Staleness {
  readonly #options: StalenessOptions
  /** By the monotonic clock. */
  #confirmedAt: number
  #live = false
  #writtenAt = Number.NEGATIVE_INFINITY

  /** Goes on counting from what an earlier process wrote down. */
  constructor(options: StalenessOptions) {
    this.#options = options
    const { directory, clock, bootMs } = options
    const since = readConfirmation(directory.read(documentName))
    const passed = since === undefined ? 0 : Math.max(bootMs() - since, 0)
    this.#confirmedAt = clock.monotonicMs() - passed
  }

  /** The broker said that everything was right `staleMs` milliseconds ago. */
  confirm(staleMs: number): void {
    const { directory, clock, bootMs } = this.#options
    const now = clock.monotonicMs()
    this.#live = staleMs === 0
    // One that has never known does not say that another was wrong: the age grows from before.
    if (staleMs >= endlessMs) return
    this.#confirmedAt = now - staleMs
    if (now - this.#writtenAt < writeEveryMs) return
    directory.write(documentName, `{"format":1,"bootMs":${Math.round(bootMs() - staleMs)}}\n`)
    this.#writtenAt = now
  }

  /** The connection is gone: from now on the age grows. */
  disconnect(): void {
    this.#live = false
  }

  /** Milliseconds since the last confirmation; 0 while a broker keeps confirming. */
  get ms(): number {
    return this.#live ? 0 : Math.max(this.#options.clock.monotonicMs() - this.#confirmedAt, 0)
  }
}

function readConfirmation(text: string | undefined): number | undefined {
  const found = /^\{"format":1,"bootMs":(-?\d{1,15})\}\n$/.exec(text ?? '')
  return found === null ? undefined : Number(found[1])
}
