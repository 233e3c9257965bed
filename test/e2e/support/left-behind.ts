import { readFile, readdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** A process that carries the mark of a test run. */
export interface LeftBehind {
  readonly pid: number
  readonly command: string
}

/**
 * Processes, other than this one, that were started with `LATCHKEY_E2E_RUN=<run>` in their
 * environment, as every process of a ground is. After a run there must be none. Those that the kernel
 * is just about to end are given ten seconds to go.
 */
export async function leftBehind(run: string): Promise<readonly LeftBehind[]> {
  const deadline = performance.now() + 10_000
  for (;;) {
    const found = await marked(run)
    if (found.length === 0 || performance.now() > deadline) return found
    await sleep(100)
  }
}

async function marked(run: string): Promise<readonly LeftBehind[]> {
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
