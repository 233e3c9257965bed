import { systemClock } from '../src/base/clock.ts'
import type { Log, LogLevel } from '../src/observe/log.ts'
import { createLog } from '../src/observe/pino-log.ts'
import { openLineOutput } from './line-output.ts'

/** A program's log on standard error. */
export interface BufferedLog<Event extends string> {
  readonly log: Log<Event>
  /** Writes what is still held, unless the reader is stuck; the last thing a program does. */
  readonly flush: () => Promise<void>
}

/**
 * Opens it. Buffered, so that a reader who is stuck does not stop the service; beyond a bound lines are
 * lost. So are those for which the disk has no room: pino's own destination would end the process then,
 * and in ending try to write them for ever.
 */
export function openBufferedLog<Event extends string>(options: {
  /** As in `latchkey-kms`. */
  readonly program: string
  readonly level: LogLevel
}): BufferedLog<Event> {
  const output = openLineOutput(2)
  return {
    log: createLog<Event>({ ...options, destination: output, now: () => systemClock.now() }),
    flush: output.close,
  }
}
