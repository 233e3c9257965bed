import { createHash } from 'node:crypto'
import { LatchkeyError } from '../../base/errors.ts'
import type { SecretBytes } from '../../base/secret.ts'
import type { AnchoredDirectory } from './anchored-directory.ts'
import { fileError } from './file-error.ts'
import type { FileOperations } from './file-operations.ts'
import { applyAccess, readFoundFile, removeTree, writeAll, writeNewFile } from './files.ts'
import type { Access } from './files.ts'
import { directoryAccess } from './generation.ts'
import { openTarget } from './walk.ts'

/** A file of `mount: file`: where it is, and what a new value does. */
export interface BoundFileOptions {
  readonly root: string
  /** Path of the file as the containers see it. */
  readonly path: string
  readonly update: 'in-place' | 'restart'
  readonly operations: FileOperations
}

/** What an earlier publication left, as the journal remembers it. */
export type BoundState =
  /** Never published for this plan: whatever is there is not ours. */
  | 'absent'
  | 'published'
  /** Emptied by a decision. A bind cannot be removed, so the file stays, with nothing in it. */
  | 'emptied'

/** What a publication came to. */
export type BoundOutcome =
  | 'unchanged'
  | 'published'
  /** There is a newer value, which the file gets when the pod starts anew. */
  | 'waits-for-restart'

/**
 * Publishes one file that is bound over a file of the image. The bind pins the inode, so the file is
 * created once, before any container starts, and from then on rewritten or left alone.
 *
 * Rewriting is not atomic for readers. It survives a crash: the new content is written aside first,
 * and {@link BoundFilePublisher.recover} finishes what was begun. It survives a full volume: the
 * space is taken before the first byte changes.
 */
export class BoundFilePublisher {
  readonly #options: BoundFileOptions
  readonly #name: string
  readonly #aside: string
  readonly #next: string
  readonly #room: string

  constructor(options: BoundFileOptions) {
    this.#options = options
    this.#name = options.path.slice(options.path.lastIndexOf('/') + 1)
    // A name of its own length could be too long for a file system with a prefix before it.
    const id = createHash('sha256').update(this.#name).digest('hex').slice(0, 16)
    this.#aside = `..new-${id}`
    this.#next = `..next-${id}`
    this.#room = `..room-${id}`
  }

  /** Path of the file as the containers see it. */
  get path(): string {
    return this.#options.path
  }

  /** Finishes an update that a crash interrupted, and clears what it left. Whether the file is there. */
  recover(): boolean {
    return this.#guard(() => {
      const { operations } = this.#options
      using directory = openTarget(this.#place(), { operations })
      if (directory === undefined) return false
      removeTree(directory, this.#aside, operations)
      removeTree(directory, this.#room, operations)
      using next = readFoundFile(directory, this.#next, operations)
      const facts = directory.lstat(this.#name)
      if (next !== undefined && facts?.kind === 'file') {
        this.#rewrite(directory, next.bytes, { mode: facts.mode, group: facts.gid })
      }
      removeTree(directory, this.#next, operations)
      return facts?.kind === 'file'
    })
  }

  /**
   * Brings the file to `bytes`, as far as its kind of update allows. `beforeChange` is called before
   * a file that containers may have bound changes; what it throws keeps the old content.
   */
  publish(
    file: Access & { readonly bytes: SecretBytes },
    before: BoundState,
    beforeChange: () => void = () => undefined,
  ): BoundOutcome {
    return this.#guard(() => {
      const { operations, update } = this.#options
      using directory = openTarget(this.#place(), { operations, create: directoryAccess([file]) })
      if (directory === undefined) throw new LatchkeyError('ERR_IO', 'the directory is gone')
      if (before === 'absent' || directory.lstat(this.#name)?.kind !== 'file') {
        this.#create(directory, file)
        return 'published'
      }
      using found = readFoundFile(directory, this.#name, operations)
      if (found !== undefined && Buffer.compare(found.bytes.expose(), file.bytes.expose()) === 0) {
        this.#setAccess(directory, file)
        return before === 'emptied' ? 'published' : 'unchanged'
      }
      if (update === 'restart' && before === 'published') return 'waits-for-restart'
      beforeChange()
      this.#replaceContent(directory, file, found?.bytes.byteLength ?? 0)
      return 'published'
    })
  }

  /** Leaves nothing in the file. Needs no space. */
  empty(): void {
    this.#guard(() => {
      const { operations } = this.#options
      using directory = openTarget(this.#place(), { operations })
      const facts = directory?.lstat(this.#name)
      if (directory === undefined || facts?.kind !== 'file') return
      removeTree(directory, this.#next, operations)
      if (facts.size === 0) return
      this.#openForUpdate(directory, {
        change: (fd) => {
          operations.truncate(fd, 0)
        },
      })
    })
  }

  #create(directory: AnchoredDirectory, file: Access & { readonly bytes: SecretBytes }): void {
    const { operations } = this.#options
    removeTree(directory, this.#aside, operations)
    const written = { ...file, name: this.#aside, bytes: file.bytes.expose() }
    this.#writeOrRemove(directory, written)
    // Only an empty directory can be in the way of a file that was never published.
    if (directory.lstat(this.#name)?.kind === 'directory') {
      operations.removeDirectory(directory.at(this.#name))
    }
    operations.rename(directory.at(this.#aside), directory.at(this.#name))
    directory.sync()
  }

  #replaceContent(
    directory: AnchoredDirectory,
    file: Access & { readonly bytes: SecretBytes },
    oldLength: number,
  ): void {
    const { operations } = this.#options
    const scratch = { mode: 0o600, group: undefined }
    removeTree(directory, this.#aside, operations)
    removeTree(directory, this.#room, operations)
    const bytes = file.bytes.expose()
    this.#writeOrRemove(directory, { ...scratch, name: this.#aside, bytes })
    try {
      const growth = new Uint8Array(Math.max(0, bytes.byteLength - oldLength))
      this.#writeOrRemove(directory, { ...scratch, name: this.#room, bytes: growth })
    } catch (error) {
      removeTree(directory, this.#aside, operations)
      throw error
    }
    operations.rename(directory.at(this.#aside), directory.at(this.#next))
    directory.sync()
    operations.unlink(directory.at(this.#room))
    this.#rewrite(directory, file.bytes, file)
    operations.unlink(directory.at(this.#next))
    directory.sync()
  }

  #rewrite(directory: AnchoredDirectory, bytes: SecretBytes, access: Access): void {
    const { operations } = this.#options
    this.#openForUpdate(directory, {
      access,
      change: (fd) => {
        writeAll(fd, bytes.expose(), operations)
        operations.truncate(fd, bytes.byteLength)
        applyAccess(fd, access, operations)
      },
    })
  }

  #setAccess(directory: AnchoredDirectory, access: Access): void {
    const { operations } = this.#options
    const fd = operations.openFile(directory.at(this.#name), 'read')
    try {
      applyAccess(fd, access, operations)
    } finally {
      operations.close(fd)
    }
  }

  /**
   * Opens the file for writing, for which its owner may first need the right, changes and syncs it,
   * and leaves it with the mode that is wanted, or with the one it had. What somebody else widened is
   * narrowed before anything is written.
   */
  #openForUpdate(
    directory: AnchoredDirectory,
    { access, change }: { readonly access?: Access; readonly change: (fd: number) => void },
  ): void {
    const { operations } = this.#options
    const path = directory.at(this.#name)
    const reader = operations.openFile(path, 'read')
    try {
      const { mode: before, gid } = operations.stat(reader)
      const ofAnother = access?.group !== undefined && access.group !== gid
      const kept = before & (access?.mode ?? before) & (ofAnother ? 0o700 : 0o7777)
      if (before !== (kept | 0o200)) operations.chmod(reader, kept | 0o200)
      const fd = operations.openFile(path, 'update')
      try {
        change(fd)
        operations.sync(fd)
      } finally {
        operations.close(fd)
      }
      operations.chmod(reader, access?.mode ?? before)
    } finally {
      operations.close(reader)
    }
  }

  #writeOrRemove(
    directory: AnchoredDirectory,
    file: Access & { readonly name: string; readonly bytes: Uint8Array },
  ): void {
    const { operations } = this.#options
    try {
      writeNewFile(directory, file, operations)
    } catch (error) {
      removeTree(directory, file.name, operations)
      throw error
    }
  }

  #place(): { readonly root: string; readonly path: string } {
    const { root, path } = this.#options
    const parent = path.slice(0, path.lastIndexOf('/'))
    return { root, path: parent === '' ? '/' : parent }
  }

  #guard<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      throw fileError(error, this.path)
    }
  }
}
