import { describeError, isLatchkeyError } from '../../base/errors.ts'

/** How bad a finding is: a `problem` makes `latchkey doctor` exit with 1. */
export type Level = 'ok' | 'warning' | 'problem'

/** One thing that `latchkey doctor` looked at. */
export interface Finding {
  /** What was looked at: `keyring`, `root`, `socket`, … */
  readonly subject: string
  readonly level: Level
  /** What was found, without values that are secret. */
  readonly message: string
  /** What to do about it; absent when nothing is to be done. */
  readonly remedy?: string
}

/** Makes findings about one subject. */
export function findingsAbout(
  subject: string,
): Record<Level, (message: string, remedy?: string) => Finding> {
  const make =
    (level: Level) =>
    (message: string, remedy?: string): Finding => ({
      subject,
      level,
      message,
      ...(remedy === undefined ? {} : { remedy }),
    })
  return { ok: make('ok'), warning: make('warning'), problem: make('problem') }
}

/** A failed operation as a finding: its message, and its hint as the remedy. */
export function problemOf(subject: string, error: unknown): Finding {
  const hint = isLatchkeyError(error) ? error.hint : undefined
  return findingsAbout(subject).problem(describeError(error), hint)
}
