import { destination } from 'pino'
import { systemClock } from '../src/base/clock.ts'
import type { Log, LogLevel } from '../src/observe/log.ts'
import { createLog } from '../src/observe/pino-log.ts'

const maxBufferedBytes = 1 << 20

/** A program's log on standard error. */
export interface BufferedLog<Event extends string> {
  readonly log: Log<Event>
  /** Writes what is still held; the last thing a program does. */
  readonly flush: () => void
}

/** Opens it. Buffered, so that a reader who is stuck does not stop the service; beyond a bound lines are lost. */
export function openBufferedLog<Event extends string>(options: {
  /** As in `latchkey-kms`. */
  readonly program: string
  readonly level: LogLevel
}): BufferedLog<Event> {
  const output = destination({ dest: 2, sync: false, maxLength: maxBufferedBytes })
  return {
    log: createLog<Event>({ ...options, destination: output, now: () => systemClock.now() }),
    flush: () => {
      output.flushSync()
    },
  }
}
