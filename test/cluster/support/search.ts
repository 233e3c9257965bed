import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../../../src/base/errors.ts'

const chunk = 1 << 20

/**
 * Every file below `directory`, on the same disk as it, that holds one of `texts`. What is mounted
 * there from elsewhere, memory above all, is not looked into.
 */
export async function filesWith(
  directory: string,
  texts: readonly string[],
): Promise<readonly string[]> {
  const needles = texts.map((text) => Buffer.from(text))
  const { dev } = await stat(directory)
  const found: string[] = []
  const walk = async (path: string): Promise<void> => {
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const inside = join(path, entry.name)
      // Files come and go while the node works.
      const there = await stat(inside).catch(ignoreMissing)
      if (there?.dev !== dev || entry.isSymbolicLink()) continue
      if (entry.isDirectory()) await walk(inside).catch(ignoreMissing)
      else if (entry.isFile() && (await holds(inside, needles).catch(ignoreMissing)) === true) {
        found.push(inside)
      }
    }
  }
  await walk(directory)
  return found
}

async function holds(path: string, needles: readonly Buffer[]): Promise<boolean> {
  const longest = Math.max(...needles.map(({ length }) => length))
  const buffer = Buffer.alloc(chunk + longest)
  const file = await open(path)
  try {
    // The end of each piece is kept before the next, for what lies across.
    for (let kept = 0; ;) {
      const { bytesRead } = await file.read(buffer, kept, chunk, null)
      if (bytesRead === 0) return false
      const filled = buffer.subarray(0, kept + bytesRead)
      if (needles.some((needle) => filled.includes(needle))) return true
      kept = Math.min(longest, filled.length)
      filled.copy(buffer, 0, filled.length - kept)
    }
  } finally {
    await file.close()
  }
}

function ignoreMissing(error: unknown): undefined {
  if (systemCode(error) === 'ENOENT') return undefined
  throw error
}
