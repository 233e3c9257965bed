import { fromUtf8, utf8 } from '../base/bytes.ts'
import { LatchkeyError } from '../base/errors.ts'
import { fileError } from './publish/file-error.ts'
import type { FileOperations } from './publish/file-operations.ts'
import { readFoundFile, removeTree, writeNewFile } from './publish/files.ts'
import { openTarget, type TargetPlace } from './publish/walk.ts'

const ownAccess = { mode: 0o700, group: undefined } as const

/**
 * The sidecar's own directory, on a tmpfs that no other container sees: small documents that
 * outlive the process but not the pod, each replaced as a whole.
 */
export class StateDirectory {
  readonly #place: TargetPlace
  readonly #operations: FileOperations

  constructor(place: TargetPlace, operations: FileOperations) {
    this.#place = place
    this.#operations = operations
  }

  /** Makes the directory if it is not there. Throws `ERR_TARGET_UNSAFE`, `ERR_READ_ONLY`, `ERR_IO`. */
  prepare(): void {
    try {
      using _made = openTarget(this.#place, { operations: this.#operations, create: ownAccess })
    } catch (error) {
      throw fileError(error, this.#place.path)
    }
  }

  /** A document's text; `undefined` when there is none, or it is no text. */
  read(name: string): string | undefined {
    try {
      using directory = openTarget(this.#place, { operations: this.#operations })
      using found = directory && readFoundFile(directory, name, this.#operations)
      return found && fromUtf8(found.bytes.expose())
    } catch (error) {
      throw fileError(error, `${this.#place.path}/${name}`)
    }
  }

  /** Replaces a document: after a crash it is the old one or the new one. */
  write(name: string, text: string): void {
    const operations = this.#operations
    const aside = `..new-${name}`
    try {
      using directory = openTarget(this.#place, { operations, create: ownAccess })
      if (directory === undefined) throw new LatchkeyError('ERR_IO', 'the directory is gone')
      removeTree(directory, aside, operations)
      const file = { name: aside, bytes: utf8(text), mode: 0o600, group: undefined }
      try {
        writeNewFile(directory, file, operations)
        operations.rename(directory.at(aside), directory.at(name))
      } catch (error) {
        removeTree(directory, aside, operations)
        throw error
      }
      directory.sync()
    } catch (error) {
      throw fileError(error, `${this.#place.path}/${name}`)
    }
  }
}
