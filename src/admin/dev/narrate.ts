/**
 * A log line of one of our programs as a line for a person: time, event and fields, without what is
 * the same in every line. A line that is no JSON passes unchanged.
 */
export function narrate(line: string): string {
  const entry = parse(line)
  if (entry === undefined) return line
  const { time, event, level, program: _program, ...fields } = entry
  const shown = Object.entries(fields)
    .filter(([, value]) => value !== null && value !== '')
    .map(([name, value]) => `${name}=${text(value)}`)
  const mark = level === 'error' || level === 'warn' ? `${level.toUpperCase()} ` : ''
  return [`${clock(time)}  ${mark}${text(event).padEnd(24)}`, ...shown].join(' ').trimEnd()
}

function parse(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && 'event' in value
      ? { ...value }
      : undefined
  } catch {
    return undefined
  }
}

function clock(time: unknown): string {
  return typeof time === 'string' ? time.slice(11, 23) : ''
}

function text(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(Math.round(value * 100) / 100)
  return typeof value === 'undefined' ? '' : JSON.stringify(value)
}
