import { LatchkeyError } from '../src/base/errors.ts'

/**
 * Runs `body` with a signal that Ctrl-C aborts, so that what it began is ended and told as
 * `ERR_ABORTED`. `hint` says what to do then.
 */
export async function interruptible<Result>(
  hint: string,
  body: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const stop = new AbortController()
  const interrupted = (): void => {
    stop.abort(new LatchkeyError('ERR_ABORTED', 'stopped', { hint }))
  }
  process.once('SIGINT', interrupted)
  try {
    return await body(stop.signal)
  } finally {
    process.off('SIGINT', interrupted)
  }
}
