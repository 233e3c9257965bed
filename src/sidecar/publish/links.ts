import { LatchkeyError, systemCode } from '../../base/errors.ts'
import type { AnchoredDirectory } from './anchored-directory.ts'
import type { FileOperations } from './file-operations.ts'
import { removeName, removeTree } from './files.ts'
import { dataLink, generationName, versionName } from './generation.ts'

/** Under this name a link is made before it is renamed to its place. */
export const temporaryLink = '..link'

/** Publishes generation `number`: the one rename that every reader sees whole or not at all. */
export function switchTo(
  directory: AnchoredDirectory,
  number: number,
  operations: FileOperations,
): void {
  // A link renamed onto a directory fails; nothing but a mistake puts one there.
  if (directory.lstat(dataLink)?.kind === 'directory') removeTree(directory, dataLink, operations)
  placeLink(directory, { name: dataLink, target: generationName(number) }, operations)
  directory.sync()
}

/**
 * Makes every name in `names` a link into the published generation, and `..version` too, whatever
 * stood there before. Returns whether anything had to be done.
 *
 * @throws `ERR_TARGET_UNSAFE` when a directory with something in it is in the way.
 */
export function repairNames(
  directory: AnchoredDirectory,
  names: readonly string[],
  operations: FileOperations,
): boolean {
  let repaired = false
  for (const name of [...names, versionName]) {
    const target = `${dataLink}/${name}`
    if (linkTarget(directory, name, operations) === target) continue
    clearDirectory(directory, name, operations)
    placeLink(directory, { name, target }, operations)
    repaired = true
  }
  if (repaired) directory.sync()
  return repaired
}

/** Takes away every link of ours whose name is not in `names`; files of others stay. */
export function removeOtherNames(
  directory: AnchoredDirectory,
  names: readonly string[],
  operations: FileOperations,
): void {
  const wanted = new Set(names)
  let removed = false
  for (const name of directory.list()) {
    if (name.startsWith('..') || wanted.has(name)) continue
    if (linkTarget(directory, name, operations) !== `${dataLink}/${name}`) continue
    removeName(directory, name, operations)
    removed = true
  }
  if (removed) directory.sync()
}

/** What the link `name` points to; `undefined` when it is no link. */
function linkTarget(
  directory: AnchoredDirectory,
  name: string,
  operations: FileOperations,
): string | undefined {
  if (directory.lstat(name)?.kind !== 'link') return undefined
  return operations.readLink(directory.at(name))
}

function placeLink(
  directory: AnchoredDirectory,
  link: { readonly name: string; readonly target: string },
  operations: FileOperations,
): void {
  // A crash may have left one; made again it would fail for ever.
  removeTree(directory, temporaryLink, operations)
  operations.makeLink(link.target, directory.at(temporaryLink))
  operations.rename(directory.at(temporaryLink), directory.at(link.name))
}

function clearDirectory(
  directory: AnchoredDirectory,
  name: string,
  operations: FileOperations,
): void {
  if (directory.lstat(name)?.kind !== 'directory') return
  try {
    operations.removeDirectory(directory.at(name))
  } catch (error) {
    if (systemCode(error) !== 'ENOTEMPTY' && systemCode(error) !== 'EEXIST') throw error
    throw new LatchkeyError('ERR_TARGET_UNSAFE', `a directory is in the way of the file ${name}`, {
      hint: 'remove the directory, or choose another path',
      cause: error,
    })
  }
}
