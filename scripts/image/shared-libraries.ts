import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/**
 * The shared libraries, and the loader, that `programs` need, by the paths at which the loader
 * looks for them, sorted.
 *
 * @throws Error when one is missing on this machine, or it has no ldd(1).
 */
export async function sharedLibraries(programs: readonly string[]): Promise<readonly string[]> {
  const found = new Set<string>()
  for (const program of programs) {
    const { stdout } = await promisify(execFile)('ldd', [program], { env: { LC_ALL: 'C' } })
    for (const path of librariesIn(stdout)) found.add(path)
  }
  return [...found].sort()
}

/**
 * The paths that ldd(1) lists.
 *
 * @throws Error for a library that it did not find.
 */
export function librariesIn(listing: string): readonly string[] {
  const missing = /^\s*(\S+) => not found/m.exec(listing)?.[1]
  if (missing !== undefined) throw new Error(`this machine has no ${missing}`)
  return [...listing.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x[0-9a-f]+\)$/gm)].map(
    ([, path = '']) => path,
  )
}
