import { pino, type DestinationStream } from 'pino'
import { logEntry, type Log, type LogFields, type LogLevel } from './log.ts'

/** The log of servers, by pino: the lines are those of `createLineLog`. */
export function createLog<Event extends string = string>(options: {
  /** Name of the program, in every line. */
  readonly program: string
  readonly level: LogLevel
  readonly destination: DestinationStream
  /** Wall time in milliseconds since 1970. */
  readonly now: () => number
}): Log<Event> {
  const lines = pino(
    {
      level: options.level,
      base: { program: options.program },
      timestamp: () => `,"time":"${new Date(options.now()).toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
    },
    options.destination,
  )
  const write =
    (level: LogLevel) =>
    (event: Event, fields: LogFields = {}, thrown?: unknown): void => {
      if (!lines.isLevelEnabled(level)) return
      lines[level](logEntry(event, fields, thrown))
    }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}
