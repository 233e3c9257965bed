import { describeError, isLatchkeyError } from '../base/errors.ts'
import { SecretBytes } from '../base/secret.ts'

/** How much is logged, least last. */
export const logLevels = ['debug', 'info', 'warn', 'error'] as const

/** One of {@link logLevels}. */
export type LogLevel = (typeof logLevels)[number]

/** What a log field may hold. Everything else, and above all a secret, is left out by its type. */
export type LogValue = string | number | boolean | null | undefined | readonly (string | number)[]

/** Names that every line has of its own, so that no field may have them. */
type ReservedName = (typeof reservedNames)[number]
const reservedNames = ['event', 'level', 'time', 'program', 'error', 'code', 'hint'] as const

/** Fields of one log line. */
export type LogFields = Readonly<Record<string, LogValue> & Partial<Record<ReservedName, never>>>

/**
 * Where a service says what happens: an event, which is a stable name that tools may match, fields,
 * and perhaps what was thrown, printed by `describeError` as field `error` and, for our own errors,
 * beside it as `code` and `hint`. There is no free text, so that nothing is ever formatted into a
 * line.
 */
export interface Log<Event extends string = string> {
  debug(event: Event, fields?: LogFields, thrown?: unknown): void
  info(event: Event, fields?: LogFields, thrown?: unknown): void
  warn(event: Event, fields?: LogFields, thrown?: unknown): void
  error(event: Event, fields?: LogFields, thrown?: unknown): void
}

const maxTextLength = 1024

/**
 * A log of JSON lines: `level`, `time` (RFC 3339, milliseconds), `event`, `program` and the fields.
 * It is for programs that every pod carries; servers use the one of pino-log.ts, which has the same
 * lines and costs 2 MB of private memory more.
 *
 * @remarks
 * The types already keep secrets out; should one arrive all the same, it is printed as `[secret]`,
 * other bytes as their length and other objects not at all. Text is cut at 1024 characters.
 */
export function createLineLog<Event extends string = string>(options: {
  /** Name of the program, in every line. */
  readonly program: string
  readonly level: LogLevel
  /** Takes one line with its end. */
  readonly write: (line: string) => void
  /** Wall time in milliseconds since 1970. */
  readonly now: () => number
}): Log<Event> {
  const { program, now } = options
  const least = logLevels.indexOf(options.level)
  const at =
    (level: LogLevel) =>
    (event: Event, fields: LogFields = {}, thrown?: unknown): void => {
      if (logLevels.indexOf(level) < least) return
      const time = new Date(now()).toISOString()
      const line = { level, time, program, ...logEntry(event, fields, thrown) }
      options.write(`${JSON.stringify(line)}\n`)
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** A log that says nothing, for where nobody listens. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** What a line says besides when, how bad and who: nothing that could be a secret. */
export function logEntry(
  event: string,
  fields: LogFields,
  thrown: unknown,
): Readonly<Record<string, LogValue>> {
  return { event, ...printable(fields), ...printableError(thrown) }
}

const reserved = new Set<string>(reservedNames)

function printable(fields: LogFields): Record<string, LogValue> {
  const line: Record<string, LogValue> = {}
  for (const [name, value] of Object.entries(fields)) {
    // The types keep reserved names out; a log line must not be what fails a request all the same.
    line[reserved.has(name) ? `_${name}` : name] = printableValue(value)
  }
  return line
}

function printableError(thrown: unknown): Record<string, LogValue> {
  if (thrown === undefined) return {}
  const error = cut(describeError(thrown))
  if (!isLatchkeyError(thrown)) return { error }
  return {
    error,
    code: thrown.code,
    hint: thrown.hint === undefined ? undefined : cut(thrown.hint),
  }
}

function printableValue(value: unknown): LogValue {
  switch (typeof value) {
    case 'string':
      return cut(value)
    case 'number':
    case 'boolean':
    case 'undefined':
      return value
    case 'object':
      return printableObject(value)
    default:
      return `[${typeof value}]`
  }
}

function printableObject(value: object | null): LogValue {
  if (value === null) return null
  if (value instanceof SecretBytes) return '[secret]'
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (!Array.isArray(value)) return '[object]'
  return value.map((item: unknown) => {
    const printed = printableValue(item)
    return typeof printed === 'string' || typeof printed === 'number' ? printed : '[object]'
  })
}

function cut(text: string): string {
  return text.length <= maxTextLength ? text : `${text.slice(0, maxTextLength)}…`
}
