/**
 * Where a command speaks: data to stdout, words to stderr, questions only where a person can answer.
 */
export interface Terminal {
  /** Whether a person sits there: stdin and stderr are terminals. */
  readonly interactive: boolean
  /** Writes one line of data to stdout. */
  data(line: string): void
  /** Writes one line for people to stderr. */
  say(line: string): void
  /** Asks for a line on the terminal; called only when {@link Terminal.interactive}. Rejects when there is none. */
  ask(question: string): Promise<string>
  /**
   * Shows a line for people that the next one replaces, as a progress bar is; `''` takes it away.
   * Absent where nobody watches.
   */
  readonly progress?: (line: string) => void
}
