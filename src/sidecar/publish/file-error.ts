import { LatchkeyError, isLatchkeyError, systemCode } from '../../base/errors.ts'

/**
 * A failed file system call in our words; the system's error is the cause. Paths are not secret.
 * What is no system error is a fault of this program, and thrown on as it is.
 */
export function fileError(error: unknown, path: string): LatchkeyError {
  if (isLatchkeyError(error)) return error
  const code = systemCode(error)
  if (code === undefined) throw error
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new LatchkeyError('ERR_DISK_FULL', `no space left to publish ${path}`, {
        hint: 'give the volume a larger size limit: it holds two generations of its files',
        cause: error,
      })
    case 'EROFS':
      return new LatchkeyError('ERR_READ_ONLY', `${path} is on a read-only volume`, {
        hint: 'mount the volume read-write in the sidecar',
        cause: error,
      })
    case 'ELOOP':
      return new LatchkeyError('ERR_TARGET_UNSAFE', `a link stands in the way of ${path}`, {
        hint: 'remove the link; the sidecar never follows one below its root',
        cause: error,
      })
    default:
      return new LatchkeyError('ERR_IO', `${path}: ${code}`, { cause: error })
  }
}

/** Whether a call failed because there is nothing of that name. */
export function isMissing(error: unknown): boolean {
  return systemCode(error) === 'ENOENT'
}
