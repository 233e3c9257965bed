import { describeError, isLatchkeyError, systemCode } from '../src/base/errors.ts'
import { exitCodeOf } from '../src/base/exit-code.ts'

/** Tells the person at the terminal what went wrong and what to do, and sets the exit code. */
export function reportError(error: unknown): void {
  if (systemCode(error) === 'EPIPE') return
  process.stderr.write(`error: ${describeError(error)}\n`)
  if (isLatchkeyError(error) && error.hint !== undefined) {
    process.stderr.write(`hint: ${error.hint}\n`)
  }
  process.exitCode = exitCodeOf(error)
}
