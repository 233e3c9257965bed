import { basename, dirname, isAbsolute, normalize } from 'node:path'
import { LatchkeyError } from '../base/errors.ts'

/** Longest path, in bytes, that fits a `sockaddr_un` with its terminating NUL (unix(7)). */
export const maxSocketPathBytes = 107

/** Length of the names under which sockets are bound before they are published. */
export const temporaryNameLength = 12

/**
 * Reads `unix:///PATH`, the form in which the API server is given endpoints, and returns the path.
 *
 * @param field - name of the flag or key, for the error
 * @throws `ERR_SOCKET_PATH` for anything but an absolute file-system path that a socket can have.
 */
export function parseSocketUrl(url: string, field: string): string {
  const path = url.startsWith('unix://') ? url.slice('unix://'.length) : ''
  if (path === '')
    throw wrong(field, 'is not unix:///PATH', 'write it as in unix:///run/x/kms.sock')
  if (path.startsWith('@') || path.startsWith('/@') || path.includes('\0')) {
    throw wrong(
      field,
      'is an abstract socket, which has no owner and no permissions: any process could use it',
      'give a file-system path, as in unix:///run/latchkey/kms.sock',
    )
  }
  if (!isAbsolute(path) || normalize(path) !== path || path.endsWith('/')) {
    throw wrong(field, 'is not an absolute, plain path', 'write it without "." and ".." and "//"')
  }
  const longest = Math.max(Buffer.byteLength(basename(path)), temporaryNameLength)
  const bytes = Buffer.byteLength(dirname(path)) + 1 + longest
  if (bytes > maxSocketPathBytes) {
    throw wrong(
      field,
      `is too long: its directory and a name of ${longest} bytes make ${bytes} bytes, and the system allows ${maxSocketPathBytes}`,
      'choose a shorter directory, such as /run/latchkey',
    )
  }
  return path
}

function wrong(field: string, what: string, hint: string): LatchkeyError {
  return new LatchkeyError('ERR_SOCKET_PATH', `${field} ${what}`, { hint })
}
