import { LatchkeyError } from './errors.ts'

/** Lets a number of things happen at a time, and a number more wait for their turn. */
export interface Semaphore {
  /**
   * Runs `work` when it is its turn: in the order of calls among those of one `party`, and party by
   * party, so that one which wants much does not keep the others waiting.
   *
   * @throws `ERR_BUSY` when too many wait already; the signal's reason when it is aborted while
   * waiting; what `work` throws.
   */
  run<T>(work: () => Promise<T>, signal: AbortSignal, party?: string): Promise<T>
}

/** At most `concurrent` at a time and `waiting` in the queue, `waitingOfOne` of them of one party. */
export function createSemaphore(limits: {
  readonly concurrent: number
  readonly waiting: number
  readonly waitingOfOne?: number
}): Semaphore {
  /** Who waits, by party; the party whose turn is next comes first. */
  const queues = new Map<string, Set<() => void>>()
  let running = 0
  let waiting = 0

  const turn = async (signal: AbortSignal, party: string): Promise<void> => {
    signal.throwIfAborted()
    if (running < limits.concurrent) {
      running += 1
      return
    }
    const queue = queues.get(party) ?? new Set()
    if (waiting >= limits.waiting || queue.size >= (limits.waitingOfOne ?? Infinity)) {
      throw new LatchkeyError('ERR_BUSY', 'too many are waiting')
    }
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const go = (): void => {
      resolve(undefined)
    }
    const leave = (): void => {
      if (!queue.delete(go)) return
      waiting -= 1
      if (queue.size === 0) queues.delete(party)
      reject(signal.reason as Error)
    }
    queue.add(go)
    queues.set(party, queue)
    waiting += 1
    signal.addEventListener('abort', leave, { once: true })
    await promise
    signal.removeEventListener('abort', leave)
  }

  const done = (): void => {
    const [first] = queues
    const [next] = first?.[1] ?? []
    if (first === undefined || next === undefined) {
      running -= 1
      return
    }
    const [party, queue] = first
    queue.delete(next)
    waiting -= 1
    // Whoever else is of this party waits until every other one has had its turn.
    queues.delete(party)
    if (queue.size > 0) queues.set(party, queue)
    // The place is handed on, so that nobody who comes now gets ahead.
    next()
  }

  return {
    run: async (work, signal, party = '') => {
      await turn(signal, party)
      try {
        return await work()
      } finally {
        done()
      }
    },
  }
}
