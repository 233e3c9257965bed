import type { Ground } from './ground.ts'
import { ourProgram } from './our-program.ts'
import { runProgram, type Ran } from './run-program.ts'

/** Runs `latchkey` from the checkout to its end, whatever its exit code. */
export async function runLatchkey(ground: Ground, args: readonly string[]): Promise<Ran> {
  const { command, script } = await ourProgram(ground, 'latchkey')
  return await runProgram(ground, { command, args: [script, ...args], timeoutMs: 120_000 })
}
