import { constants, type Stats } from 'node:fs'
import * as fs from 'node:fs/promises'
import { LatchkeyError, systemCode, type ErrorCode } from '../base/errors.ts'
import { diskError } from './disk.ts'

/** Who may own what we trust, and which permission bits are too many. */
export interface Guard {
  /** Owners accepted besides root. */
  readonly uid: number
  /** Bits that must not be set, e.g. `0o077` for a secret, `0o022` for what others may read but not write. */
  readonly forbiddenMode: number
  /** What the file is, for messages. */
  readonly title: string
  /** The code for a file that fails the guard. */
  readonly code: ErrorCode
  /** Largest accepted size in bytes. */
  readonly maxBytes: number
}

/**
 * Reads a file after checking, on the opened file, that nobody else could have written (or, for a
 * secret, read) it. `undefined` when there is none. The last component may not be a FIFO or a device.
 *
 * @throws the guard's code, with the `chmod` or `chown` that mends it; `ERR_IO`.
 */
export async function readGuardedFile(path: string, guard: Guard): Promise<Uint8Array | undefined> {
  let handle: fs.FileHandle | undefined
  try {
    // Non-blocking: opening a FIFO that nobody writes would otherwise wait for ever.
    handle = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stat = await handle.stat()
    if (!stat.isFile()) {
      throw new LatchkeyError(guard.code, `${guard.title} ${path} is not a regular file`)
    }
    checkGuard(stat, path, guard)
    if (stat.size > guard.maxBytes) {
      throw new LatchkeyError(
        guard.code,
        `${guard.title} ${path} has ${stat.size} bytes, expected at most ${guard.maxBytes}`,
      )
    }
    return new Uint8Array(await handle.readFile())
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw diskError(error, path)
  } finally {
    await handle?.close()
  }
}

/** Throws the guard's code unless owner and mode of what `stat` describes pass. */
export function checkGuard(stat: Stats, path: string, guard: Guard): void {
  if (stat.uid !== 0 && stat.uid !== guard.uid) {
    throw new LatchkeyError(guard.code, `${guard.title} ${path} belongs to user ${stat.uid}`, {
      hint: `only root or user ${guard.uid} may own it: chown ${guard.uid} ${path}`,
    })
  }
  const excess = stat.mode & guard.forbiddenMode & 0o777
  if (excess === 0) return
  const mode = (stat.mode & 0o777).toString(8).padStart(4, '0')
  const remedy = (stat.mode & 0o777 & ~guard.forbiddenMode).toString(8).padStart(4, '0')
  const who = (excess & 0o007) === 0 ? 'its group' : 'everybody'
  const what = (excess & 0o022) === 0 ? 'read' : 'write'
  throw new LatchkeyError(
    guard.code,
    `${guard.title} ${path} has mode ${mode}: ${who} may ${what} it`,
    { hint: `chmod ${remedy} ${path}` },
  )
}
