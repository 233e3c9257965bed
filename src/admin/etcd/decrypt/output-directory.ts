import { constants } from 'node:fs'
import * as fs from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { LatchkeyError, systemCode } from '../../../base/errors.ts'
import { diskError, makeDirectories, type Disk, type DiskFile } from '../../../clients/disk.ts'
import type { ObjectFiles } from './object-files.ts'

/** The list of what was extracted, one JSON object a line; it is there only when everything is. */
export const indexName = 'index.jsonl'
const unfinishedIndex = '.index.jsonl'

/** A directory that extracted objects are written to: files 0600, directories 0700, nothing overwritten. */
export class OutputDirectory {
  readonly path: string
  readonly #disk: Disk
  readonly #index: DiskFile

  private constructor(path: string, disk: Disk, index: DiskFile) {
    this.path = path
    this.#disk = disk
    this.#index = index
  }

  /**
   * Makes the directory, or takes an empty one.
   *
   * @throws `ERR_USAGE` when there is something in it; `ERR_IO`, `ERR_DISK_FULL`.
   */
  static async open(path: string, disk: Disk): Promise<OutputDirectory> {
    await makeDirectories(path, { disk, mode: 0o700 })
    try {
      if ((await fs.readdir(path)).length > 0) {
        throw new LatchkeyError('ERR_USAGE', `${path} is not empty`, {
          hint: 'name a new directory: nothing is overwritten',
        })
      }
      return new OutputDirectory(path, disk, await disk.create(join(path, unfinishedIndex), 0o600))
    } catch (error) {
      throw diskError(error, path)
    }
  }

  /**
   * Writes an object's files below `directory`, and its line of the index.
   *
   * @throws `ERR_IO`, also when a file is there already; `ERR_DISK_FULL`.
   */
  async write(directory: string, object: ObjectFiles, line: object): Promise<void> {
    for (const { path, bytes } of object.files) {
      const target = join(this.path, directory, path)
      try {
        await fs.mkdir(dirname(target), { recursive: true, mode: 0o700 })
        const file = await this.#disk.create(target, 0o600)
        try {
          await file.write(bytes.expose())
        } finally {
          await file.close()
        }
      } catch (error) {
        throw diskError(error, target)
      }
    }
    await this.#index.write(Buffer.from(`${JSON.stringify(line)}\n`)).catch((error: unknown) => {
      throw diskError(error, join(this.path, unfinishedIndex))
    })
  }

  /** Makes everything survive a power cut, and then gives the index its name. Throws `ERR_IO`, `ERR_DISK_FULL`. */
  async finish(): Promise<void> {
    try {
      // Once for all at the end: syncing each file as it is written takes a hundred times as long.
      await this.#sync(this.path)
      await this.#disk.rename(join(this.path, unfinishedIndex), join(this.path, indexName))
      await this.#disk.syncDirectory(this.path)
    } catch (error) {
      throw diskError(error, this.path)
    } finally {
      await this.close()
    }
  }

  async close(): Promise<void> {
    await this.#index.close().catch((error: unknown) => {
      if (systemCode(error) !== 'EBADF') throw diskError(error, this.path)
    })
  }

  async #sync(directory: string): Promise<void> {
    for (const entry of await fs.readdir(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name)
      if (entry.isDirectory()) {
        await this.#sync(path)
        continue
      }
      await using handle = await fs.open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
      await handle.sync()
    }
    await this.#disk.syncDirectory(directory)
  }
}
