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
 * @throws `ERR_DISK_FULL`, `ERR_IO`; nothing is then changed.
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
 * made it: of any number of concurrent callers exactly one gets `true`.
 *
 * @throws `ERR_DISK_FULL`, `ERR_IO`.
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
      if (systemCode(error) !== 'EEXIST') throw error
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
    await disk.syncDirectory(directory)
  } catch (error) {
    await disk.unlink(temporary).catch(() => undefined)
    throw diskError(error, path)
  }
}

/** A failed file system call as `ERR_DISK_FULL` or `ERR_IO`, naming the path; the system's error is the cause. */
export function diskError(error: unknown, path: string): LatchkeyError {
  if (isLatchkeyError(error)) return error
  const code = systemCode(error) ?? 'unknown error'
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new LatchkeyError('ERR_DISK_FULL', `no space left to write ${path}`, {
      hint: 'free some space and repeat the command; what was there before is unchanged',
      cause: error,
    })
  }
  return new LatchkeyError('ERR_IO', `${path}: ${code}`, { cause: error })
}
