import { LatchkeyError } from './errors.ts'

/** Lets a number of things happen at a time, and a number more wait for their turn. */
export interface Semaphore {
  /**
   * Runs `work` when it is its turn, in the order of calls.
   *
   * @throws `ERR_BUSY` when too many wait already; the signal's reason when it is aborted while
   * waiting; what `work` throws.
   */
  run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>
}

/** At most `concurrent` at a time and `waiting` in the queue. */
export function createSemaphore(limits: {
  readonly concurrent: number
  readonly waiting: number
}): Semaphore {
  const queue = new Set<() => void>()
  let running = 0

  const turn = async (signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted()
    if (running < limits.concurrent) {
      running += 1
      return
    }
    if (queue.size >= limits.waiting) throw new LatchkeyError('ERR_BUSY', 'too many are waiting')
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const go = (): void => {
      resolve(undefined)
    }
    const leave = (): void => {
      queue.delete(go)
      reject(signal.reason as Error)
    }
    queue.add(go)
    signal.addEventListener('abort', leave, { once: true })
    await promise
    signal.removeEventListener('abort', leave)
  }

  const done = (): void => {
    const [next] = queue
    if (next === undefined) running -= 1
    else {
      // The place is handed on, so that nobody who comes now gets ahead.
      queue.delete(next)
      next()
    }
  }

  return {
    run: async (work, signal) => {
      await turn(signal)
      try {
        return await work()
      } finally {
        done()
      }
    },
  }
}
