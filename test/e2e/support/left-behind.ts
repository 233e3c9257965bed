import { readFile, readdir } from 'node:fs/promises'

/** A process that carries the mark of a test run. */
export interface LeftBehind {
  readonly pid: number
  readonly command: string
}

/**
 * Processes, other than this one, that were started with `LATCHKEY_E2E_RUN=<run>` in their
 * environment, as every process of a ground is. After a run there must be none.
 */
export async function leftBehind(run: string): Promise<readonly LeftBehind[]> {
  const found: LeftBehind[] = []
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    try {
      const environment = await readFile(`/proc/${pid}/environ`, 'latin1')
      if (!environment.split('\0').includes(`LATCHKEY_E2E_RUN=${run}`)) continue
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8')
      found.push({ pid, command: command.replaceAll('\0', ' ').trim() })
    } catch {
      continue // it ended meanwhile, or is another user's
    }
  }
  return found
}
