import type { Clock } from '../../../base/clock.ts'

/** How a request went, as far as its pace is concerned. */
export type Outcome = 'answered' | 'throttled' | 'failed'

/** Decides when the next request may go out. */
export interface Pacer {
  /**
   * Resolves when there is room for one more request; call what it gives exactly once, when the
   * request has ended.
   *
   * @throws the signal's reason when it is aborted while waiting.
   */
  enter(): Promise<(outcome: Outcome) => void>
  /** Requests on the wire. */
  readonly inFlight: number
  /** Requests that may be on the wire now. */
  readonly limit: number
}

/** Answers that take this long, in milliseconds, are no reason yet to send less. */
const tolerableMs = 100
/** … nor are answers that take this many times as long as they did at best. */
const tolerableGrowth = 4
/** Answers after which the limit is thought over. */
const windowAnswers = 16

/**
 * Additive increase, multiplicative decrease, as TCP has it: the number of requests on the wire grows
 * while answers stay quick, shrinks by a fifth when they become slow, and is halved when the server
 * says 429 or fails. Until the first sign of strain it doubles.
 *
 * @remarks
 * By Little's law a server that answers 500 times a second in 100 ms has 50 requests in hand: more
 * would only stand in its queues, in the way of everybody else.
 */
export function createPacer(options: {
  /** Most requests on the wire. */
  readonly workers: number
  /** Most requests a second. */
  readonly rate: number | undefined
  readonly clock: Clock
  readonly signal: AbortSignal
}): Pacer {
  const { workers, rate, clock, signal } = options
  const waiting = new Set<() => void>()
  let [limit, inFlight, strained] = [Math.min(8, workers), 0, false]
  let [answers, totalMs, bestMs] = [0, 0, Infinity]
  /** Requests sent before this time say nothing about the present limit. */
  let cutAtMs = -Infinity
  let nextSlotMs = -Infinity

  const set = (next: number): void => {
    limit = Math.max(1, Math.min(workers, Math.floor(next)))
    ;[answers, totalMs] = [0, 0]
    for (const go of [...waiting].slice(0, Math.max(0, limit - inFlight))) go()
  }
  const cut = (factor: number): void => {
    strained = true
    cutAtMs = clock.monotonicMs()
    set(limit * factor)
  }
  const answered = (ms: number): void => {
    answers += 1
    totalMs += ms
    if (answers < Math.max(windowAnswers, limit)) return
    const mean = totalMs / answers
    bestMs = Math.min(bestMs, mean)
    if (mean > Math.max(tolerableMs, tolerableGrowth * bestMs)) cut(0.8)
    else set(strained ? limit + 1 : limit * 2)
  }
  const room = async (): Promise<void> => {
    while (inFlight >= limit) {
      signal.throwIfAborted()
      const { promise, resolve } = Promise.withResolvers<undefined>()
      const go = (): void => {
        resolve(undefined)
      }
      waiting.add(go)
      signal.addEventListener('abort', go, { once: true })
      await promise
      waiting.delete(go)
      signal.removeEventListener('abort', go)
    }
    signal.throwIfAborted()
  }

  return {
    enter: async () => {
      await room()
      inFlight += 1
      if (rate !== undefined) {
        const now = clock.monotonicMs()
        nextSlotMs = Math.max(now, nextSlotMs) + 1000 / rate
        const waitMs = nextSlotMs - 1000 / rate - now
        try {
          if (waitMs > 0) await clock.sleep(waitMs, signal)
        } catch (error) {
          inFlight -= 1
          throw error
        }
      }
      const sentAtMs = clock.monotonicMs()
      return (outcome) => {
        inFlight -= 1
        if (sentAtMs >= cutAtMs) {
          if (outcome === 'answered') answered(clock.monotonicMs() - sentAtMs)
          else cut(0.5)
        }
        const [next] = waiting
        if (inFlight < limit) next?.()
      }
    },
    get inFlight() {
      return inFlight
    },
    get limit() {
      return limit
    },
  }
}
