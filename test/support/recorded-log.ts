import type { Log, LogFields } from '../../src/observe/log.ts'

/** One line of a {@link recordedLog}. */
export interface RecordedLine<Event extends string> {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly event: Event
  readonly fields: LogFields
  readonly thrown: unknown
}

/** A log that keeps what it is told. */
export function recordedLog<Event extends string>(): {
  readonly log: Log<Event>
  readonly lines: readonly RecordedLine<Event>[]
  /** The lines of one event. */
  readonly of: (event: Event) => readonly RecordedLine<Event>[]
} {
  const lines: RecordedLine<Event>[] = []
  const write =
    (level: RecordedLine<Event>['level']) =>
    (event: Event, fields: LogFields = {}, thrown?: unknown): void => {
      lines.push({ level, event, fields, thrown })
    }
  return {
    log: {
      debug: write('debug'),
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
    },
    lines,
    of: (event) => lines.filter((line) => line.event === event),
  }
}
