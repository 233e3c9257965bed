import { closeSync, openSync, readSync } from 'node:fs'
import { LatchkeyError, systemCode } from '../../src/base/errors.ts'

/** More than any file has that the sidecar is given. */
const maxBytes = 1 << 20

/**
 * The bytes of a file or pipe, of which `what` it is. The array is its own, so that it can be wiped.
 *
 * @throws `ERR_CONFIG_INVALID` when it cannot be read or has more than 1 MiB.
 */
export function readBounded(path: string, what: string): Buffer {
  try {
    const fd = openSync(path, 'r')
    try {
      const bytes = readAll(fd)
      if (bytes !== undefined) return bytes
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    const reason = systemCode(error) ?? 'unreadable'
    throw new LatchkeyError('ERR_CONFIG_INVALID', `${what} ${path}: ${reason}`, {
      hint: 'name a file that this user may read',
    })
  }
  throw new LatchkeyError('ERR_CONFIG_INVALID', `${what} ${path} has more than ${maxBytes} bytes`)
}

function readAll(fd: number): Buffer | undefined {
  let bytes = Buffer.alloc(8192)
  let length = 0
  for (;;) {
    const count = readSync(fd, bytes, length, bytes.byteLength - length, null)
    length += count
    if (count === 0) return bytes.subarray(0, length)
    if (length < bytes.byteLength) continue
    if (length > maxBytes) return undefined
    const grown = Buffer.alloc(bytes.byteLength * 4)
    grown.set(bytes)
    bytes.fill(0)
    bytes = grown
  }
}
