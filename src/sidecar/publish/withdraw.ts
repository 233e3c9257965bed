import type { AnchoredDirectory } from './anchored-directory.ts'
import { Attempts } from './attempts.ts'
import type { FileOperations } from './file-operations.ts'
import { removeName } from './files.ts'
import { generationNumbers, openGeneration, publishedNumber } from './generation.ts'
import { removeOtherNames } from './links.ts'

/**
 * Takes files away from every generation, of whatever plan, and from sight. Needs no space, and goes
 * on where one of them cannot be removed.
 *
 * @param before - called before the first one goes; what it throws does not keep any.
 * @returns whether there were any; throws the first failure when everything was tried.
 */
export function withdrawFrom(
  directory: AnchoredDirectory,
  isGone: (name: string) => boolean,
  { operations, before }: { readonly operations: FileOperations; readonly before: () => void },
): boolean {
  const attempts = new Attempts()
  const published = publishedNumber(directory, operations)
  let found = false
  const withdraw = (number: number): void => {
    using generation = openGeneration(directory, number)
    if (generation === undefined) return
    const names = generation.list().filter((name) => !name.startsWith('..') && isGone(name))
    if (names.length > 0 && !found) attempts.do(before)
    found ||= names.length > 0
    for (const name of names) {
      attempts.do(() => {
        removeName(generation, name, operations)
      })
    }
    if (names.length > 0) generation.sync()
    if (number === published) removeOtherNames(directory, generation.list(), operations)
  }
  for (const number of generationNumbers(directory.list())) {
    attempts.do(() => {
      withdraw(number)
    })
  }
  attempts.end()
  return found
}
