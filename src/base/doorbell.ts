import type { Clock } from './clock.ts'

/** Wakes one loop that waits for something to do. Rings while nobody waits are kept, as one. */
export class Doorbell {
  #rung = false
  #answer: (() => void) | undefined

  /** Wakes the loop, now or when it next waits. */
  ring(): void {
    this.#rung = true
    this.#answer?.()
  }

  /** Resolves when rung, when `signal` is aborted, or after `ms` milliseconds if given. Never rejects. */
  async wait(options: {
    readonly signal: AbortSignal
    readonly clock: Pick<Clock, 'sleep'>
    readonly ms?: number
  }): Promise<void> {
    const done = new AbortController()
    const until = AbortSignal.any([options.signal, done.signal])
    if (!this.#rung && !until.aborted) {
      await new Promise<void>((resolve) => {
        this.#answer = resolve
        until.addEventListener('abort', () => {
          resolve()
        })
        if (options.ms === undefined) return
        options.clock.sleep(options.ms, until).then(resolve, () => undefined)
      })
    }
    this.#answer = undefined
    this.#rung = false
    done.abort()
  }
}
