import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

// npm run check: type checker, linter and formatter. They run at the same time, as the linter alone
// takes longer than the other two one after the other, and each has what it says shown in one piece.

const project = join(import.meta.dirname, '..')
// What a program shows on a terminal, though it writes into a pipe here.
const color = process.stdout.isTTY
const checks: readonly (readonly [program: string, ...args: string[]])[] = [
  ['tsc', ...(color ? ['--pretty'] : [])],
  ['eslint', ...(color ? ['--color'] : []), '.'],
  ['prettier', '--check', '--log-level', 'warn', '.'],
]

const passed = await Promise.all(checks.map(async ([program, ...args]) => await run(program, args)))
if (passed.includes(false)) process.exitCode = 1

async function run(program: string, args: readonly string[]): Promise<boolean> {
  const child = spawn(join(project, 'node_modules', '.bin', program), args, {
    cwd: project,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  const ok = code === 0
  process.stdout.write(out)
  process.stderr.write(err)
  if (!ok) console.error(`check: ${program} found something (exit code ${code ?? 'none'})`)
  return ok
}
