import { LatchkeyError, systemCode } from '../../base/errors.ts'
import { isMissing } from './file-error.ts'
import type { FileFacts, FileOperations } from './file-operations.ts'

/**
 * A directory held open, whose entries are reached through the descriptor, as openat(2) would:
 * whatever happens to the names above it in the meantime, a call lands in this directory.
 *
 * Node.js has no openat; `/proc/self/fd/N/name` is its equal on Linux. Where there is no such
 * directory the path that was walked is used instead.
 */
export class AnchoredDirectory implements Disposable {
  readonly #fd: number
  readonly #base: string
  readonly #operations: FileOperations

  private constructor(fd: number, path: string, operations: FileOperations) {
    this.#fd = fd
    this.#operations = operations
    this.#base = descriptorPath(fd, operations) ?? path
  }

  /** Opens the root that an operator named; links in its own path are the operator's and followed. */
  static openRoot(path: string, operations: FileOperations): AnchoredDirectory {
    const inside = `${path.replace(/\/+$/, '')}/.`
    return new AnchoredDirectory(operations.openDirectory(inside), inside, operations)
  }

  /** Opens a directory in this one; `undefined` when there is none. Throws `ERR_TARGET_UNSAFE` for a link. */
  openChild(name: string): AnchoredDirectory | undefined {
    const path = this.at(name)
    try {
      return new AnchoredDirectory(this.#operations.openDirectory(path), path, this.#operations)
    } catch (error) {
      if (isMissing(error)) return undefined
      if (systemCode(error) !== 'ENOTDIR' && systemCode(error) !== 'ELOOP') throw error
      const kind = this.lstat(name)?.kind === 'link' ? 'a link' : 'not a directory'
      throw new LatchkeyError('ERR_TARGET_UNSAFE', `${name} is ${kind}`, {
        hint: 'remove it; the sidecar follows no link below its root',
        cause: error,
      })
    }
  }

  /** The path by which system calls reach the entry `name` of this directory. */
  at(name: string): string {
    if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) {
      throw new TypeError('not the name of a directory entry')
    }
    return `${this.#base}/${name}`
  }

  /** The names in this directory. */
  list(): readonly string[] {
    return this.#operations.list(`${this.#base}/.`)
  }

  lstat(name: string): FileFacts | undefined {
    try {
      return this.#operations.lstat(this.at(name))
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  /** What this directory itself is. */
  stat(): FileFacts {
    return this.#operations.stat(this.#fd)
  }

  chmod(mode: number): void {
    this.#operations.chmod(this.#fd, mode)
  }

  chgrp(gid: number): void {
    this.#operations.chgrp(this.#fd, gid)
  }

  /** Makes the entries survive a power cut. */
  sync(): void {
    this.#operations.sync(this.#fd)
  }

  [Symbol.dispose](): void {
    this.#operations.close(this.#fd)
  }
}

function descriptorPath(fd: number, operations: FileOperations): string | undefined {
  const path = `/proc/self/fd/${fd}`
  try {
    return operations.lstat(path).kind === 'link' ? path : undefined
  } catch {
    return undefined
  }
}
