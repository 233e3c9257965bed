import { LatchkeyError } from '../base/errors.ts'

/** Something that runs until it is done or told to stop. */
export interface Task {
  /** For the error, when it does not stop. */
  readonly name: string
  /** Ends soon after `signal` is aborted; how it ends then does not matter. */
  readonly run: (signal: AbortSignal) => Promise<void>
}

/**
 * Runs `tasks` side by side and returns when all have ended, so that none outlives its owner.
 *
 * @remarks
 * One that ends leaves the others running. One that fails stops the others. An aborted `signal`
 * stops all, and is no failure.
 *
 * @throws the first failure; `ERR_DEADLINE` when a task has not ended `stopWithinMs` after it was told to.
 */
export async function runTasks(
  tasks: readonly Task[],
  options: { readonly signal: AbortSignal; readonly stopWithinMs: number },
): Promise<void> {
  const stop = new AbortController()
  const all = AbortSignal.any([options.signal, stop.signal])
  const running = new Set<string>()
  const failures: unknown[] = []
  const run = async ({ name, run: work }: Task): Promise<void> => {
    running.add(name)
    try {
      await work(all)
    } catch (error) {
      if (all.aborted) return
      failures.push(error)
      stop.abort()
    } finally {
      running.delete(name)
    }
  }
  let timer: NodeJS.Timeout | undefined
  const overdue = new Promise<void>((resolve) => {
    const start = (): void => {
      timer = setTimeout(resolve, options.stopWithinMs)
    }
    if (all.aborted) start()
    else all.addEventListener('abort', start, { once: true })
  })
  await Promise.race([Promise.all(tasks.map(run)), overdue])
  clearTimeout(timer)
  if (failures.length > 0) throw failures[0]
  if (running.size === 0) return
  throw new LatchkeyError('ERR_DEADLINE', `did not stop in time: ${[...running].join(', ')}`)
}
