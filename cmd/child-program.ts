import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** Another of our programs, running beside this one. */
export interface ChildProgram {
  /** Resolves with the exit code, or 128 when a signal ended it. */
  readonly ended: Promise<number>
  /** Asks it to end. */
  stop(): void
}

/** Starts the program whose source is `cmd/NAME.ts`; `onLine` gets each line it prints. */
export function startProgram(
  name: string,
  options: { readonly args: readonly string[]; readonly onLine: (line: string) => void },
): ChildProgram {
  const child = spawn(process.execPath, [programPath(name), ...options.args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // In a group of its own: Ctrl-C reaches this process alone, which then ends the child in order.
    detached: true,
  })
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', options.onLine)
  }
  const dieWithUs = (): void => {
    child.kill('SIGTERM')
  }
  process.once('exit', dieWithUs)
  return {
    ended: exitCode(child).finally(() => process.off('exit', dieWithUs)),
    stop: () => {
      child.kill('SIGTERM')
    },
  }
}

/** Whether this runs from a checkout, as against a release. */
export const inCheckout = existsSync(join(import.meta.dirname, 'latchkey.ts'))

/** In a checkout the source itself; in a release the launcher beside this program's. */
function programPath(name: string): string {
  return inCheckout
    ? join(import.meta.dirname, `${name}.ts`)
    : join(import.meta.dirname, '..', 'bin', `latchkey-${name}`)
}

async function exitCode(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      resolve(code ?? 128)
    })
  })
}
