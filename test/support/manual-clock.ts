import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../src/base/clock.ts'

/** A clock that stands still until it is told to move. */
export class ManualClock implements Clock {
  #monotonicMs = 1_000_000
  #wallMs = Date.UTC(2026, 0, 2, 3, 4, 5)
  readonly #sleepers = new Set<{ readonly atMs: number; readonly wake: () => void }>()

  now(): number {
    return this.#wallMs
  }

  monotonicMs(): number {
    return this.#monotonicMs
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const sleeper = {
      atMs: this.#monotonicMs + ms,
      wake: () => {
        resolve(undefined)
      },
    }
    this.#sleepers.add(sleeper)
    const abort = (): void => {
      reject(signal.reason as Error)
    }
    signal.addEventListener('abort', abort, { once: true })
    try {
      await promise
    } finally {
      this.#sleepers.delete(sleeper)
      signal.removeEventListener('abort', abort)
    }
  }

  /** Moves on, from one sleeper's time to the next, and lets everything that wakes settle. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#monotonicMs + ms
    for (;;) {
      await settle()
      const next = [...this.#sleepers].sort((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined || next.atMs > endMs) break
      this.#moveTo(Math.max(next.atMs, this.#monotonicMs))
      this.#sleepers.delete(next)
      next.wake()
    }
    this.#moveTo(endMs)
    await settle()
  }

  /** Wall time jumps, as when somebody sets it; the monotonic clock does not. */
  jump(ms: number): void {
    this.#wallMs += ms
  }

  #moveTo(atMs: number): void {
    this.#wallMs += atMs - this.#monotonicMs
    this.#monotonicMs = atMs
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 3; i += 1) await turn()
}
