import { LatchkeyError, systemCode } from '../../base/errors.ts'
import { SecretBytes } from '../../base/secret.ts'
import type { AnchoredDirectory } from './anchored-directory.ts'
import { isMissing } from './file-error.ts'
import type { FileOperations } from './file-operations.ts'

/** Who may read a file. */
export interface Access {
  /** Permission bits. */
  readonly mode: number
  /** Numeric group; `undefined` leaves the one that the process gives. */
  readonly group: number | undefined
}

/**
 * Creates a file that must not exist. From its first instant it is open to nobody but its owner; the
 * group's bits come last, after the content and after the group itself, so that it is never wider
 * than asked.
 */
export function writeNewFile(
  directory: AnchoredDirectory,
  file: Access & { readonly name: string; readonly bytes: Uint8Array },
  operations: FileOperations,
): void {
  const fd = operations.createFile(directory.at(file.name), file.mode & 0o700)
  try {
    writeAll(fd, file.bytes, operations)
    applyAccess(fd, file, operations)
    operations.sync(fd)
  } finally {
    operations.close(fd)
  }
}

/** Writes all of `bytes` from the start of the file. */
export function writeAll(fd: number, bytes: Uint8Array, operations: FileOperations): void {
  for (let offset = 0; offset < bytes.byteLength;) {
    const written = operations.write(fd, bytes.subarray(offset), offset)
    if (written <= 0) throw new LatchkeyError('ERR_IO', 'the system wrote nothing')
    offset += written
  }
}

/** Gives an open file its group and then its mode. */
export function applyAccess(fd: number, access: Access, operations: FileOperations): void {
  const facts = operations.stat(fd)
  if (access.group !== undefined && facts.gid !== access.group) {
    if ((facts.mode & 0o070) !== 0) operations.chmod(fd, access.mode & 0o700)
    changeGroup(() => {
      operations.chgrp(fd, access.group ?? facts.gid)
    }, access.group)
  }
  if (facts.mode !== access.mode || (access.group !== undefined && facts.gid !== access.group)) {
    operations.chmod(fd, access.mode)
  }
}

/** Gives a directory its group and then its mode: it is never wider than asked. */
export function giveDirectory(directory: AnchoredDirectory, { mode, group }: Access): void {
  if (group !== undefined && directory.stat().gid !== group) {
    changeGroup(() => {
      directory.chgrp(group)
    }, group)
  }
  // In a directory with the set-group-id bit a new one gets it too.
  if (directory.stat().mode !== mode) directory.chmod(mode)
}

/** Runs a change of group and says what is missing when the system refuses it. */
export function changeGroup(change: () => void, group: number): void {
  try {
    change()
  } catch (error) {
    if (systemCode(error) !== 'EPERM') throw error
    throw new LatchkeyError('ERR_TARGET_OWNER', `the sidecar is not in group ${group}`, {
      hint: `add ${group} to supplementalGroups in the pod's security context`,
      cause: error,
    })
  }
}

/** A file as it was found. */
export interface FoundFile extends Disposable {
  readonly bytes: SecretBytes
  readonly mode: number
  readonly gid: number
}

/** More than anything that is published has: the largest set, every byte of it escaped. */
const maxFoundBytes = 128 * 1024 * 1024

/** Reads a regular file whole; `undefined` when there is none of that name, or one that is not ours. */
export function readFoundFile(
  directory: AnchoredDirectory,
  name: string,
  operations: FileOperations,
): FoundFile | undefined {
  const fd = openFound(directory, name, operations)
  if (fd === undefined) return undefined
  try {
    const facts = operations.stat(fd)
    if (facts.kind !== 'file' || facts.size > maxFoundBytes) return undefined
    const bytes = SecretBytes.take(readAll(fd, facts.size, operations))
    return {
      bytes,
      mode: facts.mode,
      gid: facts.gid,
      [Symbol.dispose]: () => {
        bytes[Symbol.dispose]()
      },
    }
  } finally {
    operations.close(fd)
  }
}

function openFound(
  directory: AnchoredDirectory,
  name: string,
  operations: FileOperations,
): number | undefined {
  try {
    return operations.openFile(directory.at(name), 'read')
  } catch (error) {
    // A link, a directory or a file that nobody may read is not what was published.
    const code = systemCode(error)
    if (isMissing(error) || code === 'ELOOP' || code === 'EACCES' || code === 'ENXIO') {
      return undefined
    }
    throw error
  }
}

function readAll(fd: number, size: number, operations: FileOperations): Uint8Array {
  const bytes = new Uint8Array(size)
  let length = 0
  while (length < size) {
    const count = operations.read(fd, bytes.subarray(length), length)
    if (count === 0) break
    length += count
  }
  return length === size ? bytes : bytes.slice(0, length)
}

/** Removes whatever is called `name`, with everything in it; links are removed, not followed. */
export function removeTree(
  directory: AnchoredDirectory,
  name: string,
  operations: FileOperations,
): void {
  const facts = directory.lstat(name)
  if (facts === undefined) return
  if (facts.kind !== 'directory') {
    operations.unlink(directory.at(name))
    return
  }
  {
    using child = directory.openChild(name)
    for (const each of child?.list() ?? []) {
      if (child !== undefined) removeTree(child, each, operations)
    }
  }
  operations.removeDirectory(directory.at(name))
}

/** Removes a file or link; does nothing when it is not there. */
export function removeName(
  directory: AnchoredDirectory,
  name: string,
  operations: FileOperations,
): void {
  try {
    operations.unlink(directory.at(name))
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}
