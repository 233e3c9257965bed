import { isLatchkeyError, type ErrorCode } from './errors.ts'

/**
 * Exit codes of every Latchkey program: done, failed, used wrongly, refused because it would lose
 * data, and done with a finding that was to be ruled out.
 */
export const exitCodes = { done: 0, failed: 1, usage: 2, wouldLoseData: 3, unexpected: 4 } as const

const special: Partial<Record<ErrorCode, number>> = {
  ERR_USAGE: exitCodes.usage,
  ERR_CONFIG_INVALID: exitCodes.usage,
  ERR_SECRET_NAME: exitCodes.usage,
  ERR_SECRET_KEY: exitCodes.usage,
  ERR_WOULD_LOSE_DATA: exitCodes.wouldLoseData,
  ERR_KEYRING_EXISTS: exitCodes.wouldLoseData,
  // Going on with it would give up what the newer keyring, or the other branch, alone can decrypt.
  ERR_KEYRING_ROLLED_BACK: exitCodes.wouldLoseData,
  ERR_KEYRING_FORKED: exitCodes.wouldLoseData,
  ERR_UNEXPECTED: exitCodes.unexpected,
}

/** The exit code for a program that ends with `error`. */
export function exitCodeOf(error: unknown): number {
  return isLatchkeyError(error) ? (special[error.code] ?? exitCodes.failed) : exitCodes.failed
}
