import * as fs from 'node:fs/promises'
import { dirname } from 'node:path'
import { parseBytes } from '../base/amounts.ts'
import { LatchkeyError, systemCode } from '../base/errors.ts'

/** Keeps an audit file from growing without end. */
export interface AuditRotation {
  /** From this size on, in bytes, a file is to make place for the next. */
  readonly fileBytes: number
  /** Moves the files on, so that the path names none. Throws what the file system does. */
  rotate(): Promise<void>
  /** Told when that failed: the file goes on growing until it succeeds. */
  readonly onProblem: (error: unknown) => void
}

/** A file and those before it, `FILE.1` (the newest of them) to `FILE.9`. */
const older = 9
/** Less would turn over before a verifier of every day has seen it. */
const leastBytes = 10 * 2 ** 20

/**
 * Reads the value of `--audit-limit`, which goes with that of `--audit`.
 *
 * @returns bytes; `undefined` when there is no limit.
 * @throws `ERR_CONFIG_INVALID`.
 */
export function parseAuditLimit(
  text: string | undefined,
  audit: string | undefined,
): number | undefined {
  if (text === undefined) return undefined
  if (audit === undefined) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', 'audit-limit is given without audit', {
      hint: 'name the file with --audit',
    })
  }
  const bytes = parseBytes(text)
  if (bytes !== undefined && bytes >= leastBytes) return bytes
  throw new LatchkeyError('ERR_CONFIG_INVALID', 'audit-limit is no amount of 10Mi or more', {
    hint: 'write, for example, 900Mi; leave it out where something else rotates the file',
  })
}

/**
 * A rotation by which a file and its predecessors take about `limitBytes` at most: the oldest goes when
 * there are ten. A chain goes on from file to file.
 */
export function rotateByRename(
  path: string,
  limitBytes: number,
  onProblem: (error: unknown) => void,
): AuditRotation {
  const nameOf = (age: number): string => (age === 0 ? path : `${path}.${age}`)
  return {
    fileBytes: Math.floor(limitBytes / (older + 1)),
    onProblem,
    rotate: async () => {
      // From the oldest on, so that a crash in between loses nothing: at worst a number is missing.
      for (let age = older - 1; age >= 0; age -= 1) {
        await fs.rename(nameOf(age), nameOf(age + 1)).catch((error: unknown) => {
          if (systemCode(error) !== 'ENOENT') throw error
        })
      }
      const directory = await fs.open(dirname(path))
      await directory.sync().finally(() => directory.close())
    },
  }
}
