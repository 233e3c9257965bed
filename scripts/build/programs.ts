import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import manifest from '../../package.json' with { type: 'json' }

/** One of our programs. */
export interface Program {
  /** What it is called on the command line, e.g. `latchkey-kms`. */
  readonly name: string
  /** Its source, relative to the project, e.g. `cmd/kms.ts`. */
  readonly source: string
}

/** The release, as package.json has it. */
export const version: string = manifest.version

/** Oldest Node.js that runs us, as package.json has it. */
export const oldestNode: readonly [major: number, minor: number] = parseRange(manifest.engines.node)

/**
 * Every program that package.json names under `bin`.
 *
 * @throws Error for one whose source is missing or does not start with a `#!` line.
 */
export async function findPrograms(project: string): Promise<readonly Program[]> {
  const programs: Program[] = []
  for (const [name, source] of Object.entries(manifest.bin)) {
    if (!(await readFile(join(project, source), 'utf8')).startsWith('#!/usr/bin/env node\n')) {
      throw new Error(`${source} (${name}) does not start with "#!/usr/bin/env node"`)
    }
    programs.push({ name, source })
  }
  return programs
}

function parseRange(range: string): readonly [number, number] {
  const [, major, minor] = /^>=(\d+)\.(\d+)$/.exec(range) ?? []
  if (major === undefined || minor === undefined) throw new Error(`engines.node is "${range}"`)
  return [Number(major), Number(minor)]
}
