import { LatchkeyError, systemCode } from '../../base/errors.ts'
import { nameOf, parentOf } from '../../injection/paths.ts'
import type { FileOperations } from '../publish/file-operations.ts'
import { applyAccess, writeNewFile } from '../publish/files.ts'
import type { Access } from '../publish/files.ts'
import { openTarget } from '../publish/walk.ts'

/**
 * Sets the modification time of a file to now, creating it empty with the access of the entry whose
 * files changed.
 *
 * @throws `ERR_HOOK_FAILED`.
 */
export function touchFile(
  target: { readonly root: string; readonly path: string; readonly access: Access },
  options: { readonly operations: FileOperations; readonly nowMs: number },
): void {
  const { operations } = options
  const name = nameOf(target.path)
  try {
    using directory = openTarget({ root: target.root, path: parentOf(target.path) }, { operations })
    if (directory === undefined) throw new Error('its directory is not there')
    let fd
    try {
      fd = operations.openFile(directory.at(name), 'read')
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error
      writeNewFile(directory, { ...target.access, name, bytes: new Uint8Array() }, operations)
      return
    }
    try {
      if (operations.stat(fd).kind !== 'file') throw new Error('it is no regular file')
      applyAccess(fd, target.access, operations)
      operations.setTime(fd, options.nowMs / 1000)
    } finally {
      operations.close(fd)
    }
  } catch (error) {
    throw new LatchkeyError('ERR_HOOK_FAILED', `${target.path} cannot be touched`, { cause: error })
  }
}
