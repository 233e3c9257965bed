import { link, lstat, rename, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { toBase64Url } from '../base/bytes.ts'
import { LatchkeyError, systemCode } from '../base/errors.ts'
import type { RandomBytes } from '../base/random.ts'

/** Which file this is, whatever it is called. The time of making guards against reused inodes. */
export interface FileIdentity {
  readonly dev: bigint
  readonly ino: bigint
  readonly mtimeNs: bigint
}

const connectDeadlineMs = 1000
const prefix = '.lk-'

/** A free name beside `path`; see `temporaryNameLength`. */
export function temporaryBeside(path: string, random: RandomBytes): string {
  return join(dirname(path), prefix + toBase64Url(random(6)))
}

/** Whether `name` was made by {@link temporaryBeside}. */
export function isTemporaryName(name: string): boolean {
  return /^\.lk-[A-Za-z0-9_-]{8}$/.test(name)
}

/**
 * The socket at `path`, or `undefined` when nothing is there.
 *
 * @throws `ERR_SOCKET_PATH` when something is there that is no socket: it is never removed.
 */
export async function identifySocket(path: string): Promise<FileIdentity | undefined> {
  try {
    const stat = await lstat(path, { bigint: true })
    if (stat.isSocket()) return { dev: stat.dev, ino: stat.ino, mtimeNs: stat.mtimeNs }
    const kind = stat.isSymbolicLink() ? 'a symbolic link' : stat.isFile() ? 'a file' : 'no socket'
    throw new LatchkeyError(
      'ERR_SOCKET_PATH',
      `there is ${kind} at ${path}, where the socket should be`,
      {
        hint: 'it is left alone: move it away, or choose another path',
      },
    )
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Whether two names mean the same socket file. */
export function sameFile(one: FileIdentity, other: FileIdentity): boolean {
  return one.dev === other.dev && one.ino === other.ino && one.mtimeNs === other.mtimeNs
}

/**
 * Asks the socket at `path` whether a process still listens on it.
 *
 * @returns `live`, `dead` (nobody listens) or `gone`. Whatever does not clearly say otherwise, such
 * as a full backlog, no permission or no answer within a second, counts as live.
 */
export async function askSocket(path: string): Promise<'live' | 'dead' | 'gone'> {
  const code = await new Promise<string | undefined>((resolve) => {
    const socket = connect(path)
    const finish = (outcome: string | undefined): void => {
      socket.destroy()
      resolve(outcome)
    }
    socket.setTimeout(connectDeadlineMs, () => {
      finish('ETIMEDOUT')
    })
    socket.once('connect', () => {
      finish(undefined)
    })
    socket.on('error', (error) => {
      finish(systemCode(error) ?? 'unknown')
    })
  })
  if (code === 'ENOENT') return 'gone'
  return code === 'ECONNREFUSED' ? 'dead' : 'live'
}

/**
 * Removes `path` if, and only if, it is the file `expected`; returns whether it was.
 *
 * @remarks
 * Between looking at a path and unlinking it somebody else may have put a socket of theirs there.
 * So the file is first renamed, which takes exactly one file whatever it is, then looked at, and put
 * back if it is not the one.
 */
export async function removeIfSame(
  path: string,
  expected: FileIdentity,
  options: { readonly random: RandomBytes },
): Promise<boolean> {
  const before = await identifySocket(path)
  if (before === undefined || !sameFile(before, expected)) return false
  const claimed = temporaryBeside(path, options.random)
  try {
    await rename(path, claimed)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    throw error
  }
  const taken = await identifySocket(claimed)
  const same = taken !== undefined && sameFile(taken, expected)
  if (!same) await putBack(claimed, path)
  await unlink(claimed)
  return same
}

async function putBack(claimed: string, path: string): Promise<void> {
  try {
    await link(claimed, path)
  } catch (error) {
    // A third process has published there meanwhile; it is as good an owner as any.
    if (systemCode(error) !== 'EEXIST') throw error
  }
}
