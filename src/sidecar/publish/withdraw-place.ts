import { Attempts } from './attempts.ts'
import { fileError } from './file-error.ts'
import type { FileOperations } from './file-operations.ts'
import { removeName, removeTree } from './files.ts'
import {
  dataLink,
  generationName,
  generationNumbers,
  manifestOf,
  openGeneration,
  publishedNumber,
  versionName,
} from './generation.ts'
import { temporaryLink } from './links.ts'
import { manifestName } from './manifest.ts'
import { openTarget, type TargetPlace } from './walk.ts'
import { withdrawFrom } from './withdraw.ts'

/**
 * Takes everything away that was published in a directory for one of `plans`: files first, then their
 * generations. The directory itself stays, as nobody knows who made it, and so does what others put
 * there. Stopped at any moment, it can be repeated.
 *
 * @returns whether there was anything; nothing is done where what is published is of another plan, as
 * another sidecar's is.
 * @throws as `DirectoryPublisher`; then everything was tried.
 */
export function withdrawPlace(
  place: TargetPlace,
  { plans, operations }: { readonly plans: readonly string[]; readonly operations: FileOperations },
): boolean {
  try {
    using directory = openTarget(place, { operations })
    if (directory === undefined) return false
    const published = publishedNumber(directory, operations)
    if (published !== undefined) {
      using generation = openGeneration(directory, published)
      const manifest = generation && manifestOf(generation, operations)
      // Without any, it is one that was being taken away when the process was stopped.
      const described = generation?.lstat(manifestName) !== undefined
      if (described && !plans.includes(manifest?.plan ?? '')) return false
    }
    const numbers = generationNumbers(directory.list())
    if (published === undefined && numbers.length === 0) return false
    const attempts = new Attempts()
    attempts.do(() => {
      withdrawFrom(directory, () => true, { operations, before: () => undefined })
    })
    // The published one is last, so that until then it is known whose all of this is.
    for (const number of numbers) {
      if (number === published) continue
      attempts.do(() => {
        removeTree(directory, generationName(number), operations)
      })
    }
    attempts.do(() => {
      removeTree(directory, temporaryLink, operations)
      const version = directory.lstat(versionName)?.kind === 'link'
      if (
        version &&
        operations.readLink(directory.at(versionName)) === `${dataLink}/${versionName}`
      )
        removeName(directory, versionName, operations)
    })
    attempts.end()
    if (published !== undefined) {
      removeTree(directory, generationName(published), operations)
      removeName(directory, dataLink, operations)
    }
    directory.sync()
    return true
  } catch (error) {
    throw fileError(error, place.path)
  }
}
