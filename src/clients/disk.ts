import { constants } from 'node:fs'
import * as fs from 'node:fs/promises'
import { dirname } from 'node:path'
import { toBase64Url } from '../base/bytes.ts'
import { isLatchkeyError, LatchkeyError, systemCode } from '../base/errors.ts'
import type { RandomBytes } from '../base/random.ts'

/**
 * The file system calls that change something, one method a call, so that a test can stop the
 * process, or the simulated machine, between any two of them. Paths are absolute.
 */
export interface Disk {
  /** Creates a file that must not exist, for writing only. Does not follow a link. */
  create(path: string, mode: number): Promise<DiskFile>
  /** Gives a file a second name; fails with `EEXIST` when the name is taken: the compare-and-swap of file systems. */
  link(existing: string, name: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  mkdir(path: string, mode: number): Promise<void>
  /** Makes the directory's entries survive a power cut. */
  syncDirectory(path: string): Promise<void>
}

/** A file open for writing. */
export interface DiskFile {
  write(bytes: Uint8Array): Promise<void>
  /** Makes the content survive a power cut. */
  sync(): Promise<void>
  close(): Promise<void>
}

/** The machine's own file system. */
export const systemDisk: Disk = {
  create: async (path, mode) => {
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW
    const handle = await fs.open(path, flags, mode)
    return {
      write: (bytes) => handle.writeFile(bytes),
      sync: () => handle.sync(),
      close: () => handle.close(),
    }
  },
  link: fs.link,
  rename: fs.rename,
  unlink: fs.unlink,
  mkdir: async (path, mode) => {
    await fs.mkdir(path, { mode })
  },
  syncDirectory: async (path) => {
    const handle = await fs.open(path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await handle.sync()
    } catch (error) {
      // Network file systems that cannot sync a directory say EINVAL and make entries durable themselves.
      if (systemCode(error) !== 'EINVAL') throw error
    } finally {
      await handle.close()
    }
  },
}

/** How temporary files are named: they start with this, and may be removed whenever they are found old. */
export const temporaryPrefix = '.tmp-'

interface WriteOptions {
  readonly disk: Disk
  readonly random: RandomBytes
  /** Permission bits of the new file; the umask may narrow them. */
  readonly mode: number
}

/**
 * Replaces `path` by a file that holds `bytes`: write, fsync, rename, fsync the directory. When it
 * returns, the new content survives a power cut; whenever it is interrupted, `path` holds all of
 * the old or all of the new.
 *
 * @throws `ERR_DISK_FULL`, `ERR_IO`; the old content is then still there, unless the message says
 * that the new one is and may not survive a power cut.
 */
export async function replaceFile(
  path: string,
  bytes: Uint8Array,
  options: WriteOptions,
): Promise<void> {
  await viaTemporary(path, { ...options, bytes }, async (temporary) => {
    await options.disk.rename(temporary, path)
  })
}

/**
 * As {@link replaceFile}, for a path that must not exist yet. Returns whether it was this call that
 * made it: of any number of concurrent callers exactly one gets `true`. Either way the file that is
 * there survives a power cut when it returns.
 *
 * @throws `ERR_DISK_FULL`, `ERR_IO`, as {@link replaceFile}.
 */
export async function createFile(
  path: string,
  bytes: Uint8Array,
  options: WriteOptions,
): Promise<boolean> {
  let created = true
  await viaTemporary(path, { ...options, bytes }, async (temporary) => {
    try {
      await options.disk.link(temporary, path)
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw explainLink(error, path)
      created = false
    }
    // The name is what counts; a leftover temporary is tidied up later.
    await options.disk.unlink(temporary).catch(() => undefined)
  })
  return created
}

async function viaTemporary(
  path: string,
  options: WriteOptions & { readonly bytes: Uint8Array },
  publish: (temporary: string) => Promise<void>,
): Promise<void> {
  const { disk } = options
  const directory = dirname(path)
  const temporary = `${directory}/${temporaryPrefix}${toBase64Url(options.random(12))}`
  try {
    const file = await disk.create(temporary, options.mode)
    try {
      await file.write(options.bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await publish(temporary)
  } catch (error) {
    await disk.unlink(temporary).catch(() => undefined)
    throw diskError(error, path)
  }
  try {
    await disk.syncDirectory(directory)
  } catch (error) {
    // Readers may have seen it: taking it back now would be a change of its own, as little durable.
    throw unsynced(error, path)
  }
}

/**
 * Makes directory `path`, and those above it that are missing, with `mode`. When it returns, they
 * survive a power cut, also those that an interrupted call has left.
 *
 * @throws `ERR_DISK_FULL`, `ERR_IO`.
 */
export async function makeDirectories(
  path: string,
  options: { readonly disk: Disk; readonly mode: number },
): Promise<void> {
  try {
    const missing: string[] = []
    let existing = path
    while (!(await exists(existing))) {
      missing.unshift(existing)
      existing = dirname(existing)
    }
    if (missing.length === 0 && !(await fs.stat(path)).isDirectory()) {
      throw new LatchkeyError('ERR_IO', `${path} is not a directory`, {
        hint: 'name another place, or move the file out of the way',
      })
    }
    // Whoever made this one may have been killed before it was durable; often it is not ours to sync.
    await options.disk.syncDirectory(dirname(existing)).catch((error: unknown) => {
      if (!notOurs.has(systemCode(error) ?? '')) throw error
    })
    for (const directory of missing) {
      await options.disk.mkdir(directory, options.mode).catch((error: unknown) => {
        if (systemCode(error) !== 'EEXIST') throw error
      })
      await options.disk.syncDirectory(dirname(directory))
    }
  } catch (error) {
    throw diskError(error, path)
  }
}

const notOurs: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS'])

async function exists(path: string): Promise<boolean> {
  try {
    await fs.stat(path)
    return true
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    throw error
  }
}

const hints: Readonly<Record<string, string>> = {
  EACCES: 'run this as the user that owns it, or change owner or mode of it or its directory',
  EPERM: 'run this as the user that owns it, or change owner or mode of it or its directory',
  EROFS: 'the file system is mounted read-only: mount it for writing, or name another place',
  ENOTDIR: 'a part of the path is a file: name another place, or move the file out of the way',
}

/** A failed file system call as `ERR_DISK_FULL` or `ERR_IO`, naming the path; the system's error is the cause. */
export function diskError(error: unknown, path: string): LatchkeyError {
  if (isLatchkeyError(error)) return error
  const code = systemCode(error) ?? 'unknown error'
  if (isFull(code)) {
    return new LatchkeyError('ERR_DISK_FULL', `no space left to write ${path}`, {
      hint: 'free some space and repeat the command; what was there before is unchanged',
      cause: error,
    })
  }
  const hint = hints[code]
  const options = hint === undefined ? { cause: error } : { hint, cause: error }
  return new LatchkeyError('ERR_IO', `${path}: ${code}`, options)
}

function isFull(code: string | undefined): boolean {
  return code === 'ENOSPC' || code === 'EDQUOT'
}

function unsynced(error: unknown, path: string): LatchkeyError {
  const code = systemCode(error) ?? 'unknown error'
  return new LatchkeyError(
    isFull(code) ? 'ERR_DISK_FULL' : 'ERR_IO',
    `${path} was written and is in effect, but may not survive a power cut: ${code}`,
    { hint: 'mend the disk, look at what is in effect now, and write it again', cause: error },
  )
}

function explainLink(error: unknown, path: string): unknown {
  const code = systemCode(error) ?? ''
  if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code)) return error
  return new LatchkeyError('ERR_IO', `the file system of ${path} makes no hard links: ${code}`, {
    hint: 'name a directory on a local file system, such as ext4, xfs, btrfs or tmpfs',
    cause: error,
  })
}
