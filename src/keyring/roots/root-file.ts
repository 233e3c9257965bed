import * as fs from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCode } from '../../base/errors.ts'
import { frameKeyBytes } from '../../base/frame.ts'
import type { RandomBytes } from '../../base/random.ts'
import { SecretBytes } from '../../base/secret.ts'
import {
  createFile,
  diskError,
  makeDirectories,
  temporaryPrefix,
  type Disk,
} from '../../clients/disk.ts'

/**
 * Makes a root file of 32 random bytes, mode 0400, unless there is a file already. When it returns,
 * the file that is there survives a power cut: a keyring may be wrapped under it.
 *
 * @throws `ERR_DISK_FULL`, `ERR_IO`.
 */
export async function createRootFile(
  path: string,
  deps: { readonly disk: Disk; readonly random: RandomBytes },
): Promise<void> {
  const directory = dirname(path)
  await makeDirectories(directory, { disk: deps.disk, mode: 0o700 })
  if (await isThere(path)) {
    await finish(path, deps.disk)
    return
  }
  using fresh = SecretBytes.take(deps.random(frameKeyBytes))
  await createFile(path, fresh.expose(), { ...deps, mode: 0o400 })
}

async function isThere(path: string): Promise<boolean> {
  try {
    await fs.lstat(path)
    return true
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    throw diskError(error, path)
  }
}

/**
 * Ends what an interrupted call has begun: makes the name durable, and removes the second name that
 * the file still has, which would keep the root alive after its file was destroyed.
 */
async function finish(path: string, disk: Disk): Promise<void> {
  const directory = dirname(path)
  try {
    const { ino, dev, nlink } = await fs.lstat(path)
    for (const name of nlink > 1 ? await fs.readdir(directory) : []) {
      if (!name.startsWith(temporaryPrefix)) continue
      const other = await fs.lstat(`${directory}/${name}`)
      if (other.ino === ino && other.dev === dev) await disk.unlink(`${directory}/${name}`)
    }
    await disk.syncDirectory(directory)
  } catch (error) {
    // A root on a medium that is not ours to write is as durable as its owner made it.
    if (!['EACCES', 'EPERM', 'EROFS'].includes(systemCode(error) ?? ''))
      throw diskError(error, path)
  }
}
