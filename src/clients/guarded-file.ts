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
  /** The code for a file above that size; default is `code`. */
  readonly oversizeCode?: ErrorCode
}

/**
 * Reads a file after checking, on the opened file, that nobody else could have written (or, for a
 * secret, read) it. `undefined` when there is none. Symbolic links are followed, and it is what they
 * lead to that is checked. The bytes are in one array that the caller owns and may wipe: no other
 * copy is left in memory.
 *
 * @remarks
 * The directories above are not checked. Whoever may rename those can take the file away or put an
 * older one of the same owner in its place, but not make one that passes.
 *
 * @throws the guard's code, with the `chmod` or `chown` that mends it; `ERR_IO`.
 */
export async function readGuardedFile(path: string, guard: Guard): Promise<Uint8Array | undefined> {
  try {
    // Non-blocking: opening a FIFO that nobody writes would otherwise wait for ever.
    await using handle = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stat = await handle.stat()
    if (!stat.isFile()) {
      throw new LatchkeyError(guard.code, `${guard.title} ${path} is not a regular file`, {
        hint: 'name a regular file, not a directory, a pipe or a device',
      })
    }
    checkGuard(stat, path, guard)
    const bytes = await readUpTo(guard.maxBytes, {
      expectedBytes: stat.size,
      read: async (into) => (await handle.read(into)).bytesRead,
    })
    if (bytes !== undefined) return bytes
    throw new LatchkeyError(
      guard.oversizeCode ?? guard.code,
      `${guard.title} ${path} has more than ${guard.maxBytes} bytes`,
    )
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw diskError(error, path)
  }
}

/**
 * Reads to the end, where `read` gives 0, into arrays of its own, which it wipes: what Node.js's
 * `readFile` and streams read into stays in memory. `undefined` when there are more than `maxBytes`.
 */
export async function readUpTo(
  maxBytes: number,
  source: {
    /** First guess at the length; any number will do. */
    readonly expectedBytes: number
    readonly read: (into: Uint8Array) => Promise<number>
  },
): Promise<Uint8Array | undefined> {
  let buffer = new Uint8Array(Math.min(source.expectedBytes, maxBytes) + 1)
  let length = 0
  try {
    for (;;) {
      const bytesRead = await source.read(buffer.subarray(length))
      if (bytesRead === 0) return buffer.slice(0, length)
      length += bytesRead
      if (length > maxBytes) return undefined
      if (length < buffer.byteLength) continue
      const larger = new Uint8Array(Math.min(2 * length, maxBytes) + 1)
      larger.set(buffer)
      buffer.fill(0)
      buffer = larger
    }
  } finally {
    buffer.fill(0)
  }
}

/** Throws the guard's code unless owner and mode of what `stat` describes pass. */
export function checkGuard(stat: Pick<Stats, 'uid' | 'mode'>, path: string, guard: Guard): void {
  if (stat.uid !== 0 && stat.uid !== guard.uid) {
    throw new LatchkeyError(guard.code, `${guard.title} ${path} belongs to user ${stat.uid}`, {
      hint: `run this as user ${stat.uid}, or give it to user ${guard.uid}: chown ${guard.uid} ${path}`,
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
