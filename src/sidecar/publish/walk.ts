import { LatchkeyError, isLatchkeyError } from '../../base/errors.ts'
import { AnchoredDirectory } from './anchored-directory.ts'
import { fileError, isMissing } from './file-error.ts'
import type { FileOperations } from './file-operations.ts'

/** Where a directory is: `path` as the containers see it, below the directory `root` here. */
export interface TargetPlace {
  readonly root: string
  /** Absolute and validated, as in a plan. */
  readonly path: string
}

/** Permission bits of directories that had to be made above a target. */
const parentMode = 0o755

/**
 * Opens a directory one component at a time and follows no link. With `create` what is missing is
 * made: parents with mode 0755, the directory itself with mode `create`. Without it the answer is
 * `undefined` when the directory is not there.
 *
 * @throws `ERR_TARGET_UNSAFE` when a component is a link or no directory; `ERR_READ_ONLY`,
 * `ERR_DISK_FULL`, `ERR_IO`.
 */
export function openTarget(
  place: TargetPlace,
  options: { readonly operations: FileOperations; readonly create?: number },
): AnchoredDirectory | undefined {
  const names = place.path.split('/').filter((name) => name !== '')
  let directory: AnchoredDirectory | undefined
  try {
    directory = openRoot(place.root, options)
    for (const [index, name] of names.entries()) {
      if (directory === undefined) return undefined
      using parent: AnchoredDirectory = directory
      directory = undefined
      const mode = index === names.length - 1 ? options.create : parentMode
      directory =
        options.create === undefined || mode === undefined
          ? parent.openChild(name)
          : parent.openOrCreateChild(name, mode)
    }
    return directory
  } catch (error) {
    throw placed(error, place.path)
  }
}

function openRoot(
  root: string,
  options: { readonly operations: FileOperations; readonly create?: number },
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
