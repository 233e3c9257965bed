import { LatchkeyError, isLatchkeyError } from '../../base/errors.ts'
import { AnchoredDirectory } from './anchored-directory.ts'
import { fileError, isMissing } from './file-error.ts'
import type { FileOperations } from './file-operations.ts'
import { giveDirectory } from './files.ts'
import type { Access } from './files.ts'

/** Where a directory is: `path` as the containers see it, below the directory `root` here. */
export interface TargetPlace {
  readonly root: string
  /** Absolute and validated, as in a plan. */
  readonly path: string
}

/** Of directories that had to be made above a target. */
const parentAccess: Access = { mode: 0o755, group: undefined }
/** Under this name a directory is made before it is renamed to its place. */
const newDirectory = '..new-directory'

/**
 * Opens a directory one component at a time and follows no link. With `create` what is missing is
 * made: parents with mode 0755, the directory itself with the access `create`. Without it the answer is
 * `undefined` when the directory is not there.
 *
 * @throws `ERR_TARGET_UNSAFE` when a component is a link or no directory; `ERR_READ_ONLY`,
 * `ERR_DISK_FULL`, `ERR_IO`.
 */
export function openTarget(
  place: TargetPlace,
  options: { readonly operations: FileOperations; readonly create?: Access },
): AnchoredDirectory | undefined {
  const names = place.path.split('/').filter((name) => name !== '')
  let directory: AnchoredDirectory | undefined
  try {
    directory = openRoot(place.root, options)
    for (const [index, name] of names.entries()) {
      if (directory === undefined) return undefined
      using parent: AnchoredDirectory = directory
      directory = undefined
      directory = parent.openChild(name)
      if (directory !== undefined || options.create === undefined) continue
      const access = index === names.length - 1 ? options.create : parentAccess
      directory = createDirectory(parent, { name, access }, options.operations)
    }
    return directory
  } catch (error) {
    throw placed(error, place.path)
  }
}

/** Makes a directory, which nobody sees before it has its group and its mode. */
function createDirectory(
  parent: AnchoredDirectory,
  { name, access }: { readonly name: string; readonly access: Access },
  operations: FileOperations,
): AnchoredDirectory {
  // A crash may have left one, empty as it is.
  using left = parent.openChild(newDirectory)
  if (left === undefined) operations.makeDirectory(parent.at(newDirectory), 0o700)
  {
    using made = parent.openChild(newDirectory)
    if (made === undefined) throw new LatchkeyError('ERR_IO', `${name} vanished`)
    giveDirectory(made, access)
  }
  operations.rename(parent.at(newDirectory), parent.at(name))
  const directory = parent.openChild(name)
  if (directory === undefined) throw new LatchkeyError('ERR_IO', `${name} vanished`)
  return directory
}

function openRoot(
  root: string,
  options: { readonly operations: FileOperations; readonly create?: Access },
): AnchoredDirectory | undefined {
  try {
    return AnchoredDirectory.openRoot(root, options.operations)
  } catch (error) {
    if (!isMissing(error) || options.create !== undefined) throw error
    return undefined
  }
}

/** The error with the whole path in it: a component alone says too little. */
function placed(error: unknown, path: string): LatchkeyError {
  if (!isLatchkeyError(error, 'ERR_TARGET_UNSAFE')) return fileError(error, path)
  return new LatchkeyError(error.code, `${path}: ${error.message}`, {
    ...(error.hint !== undefined && { hint: error.hint }),
    cause: error.cause,
  })
}
