import { execFile } from 'node:child_process'
import type { Ground } from './ground.ts'

/** What a program that ran to its end left. */
export interface Ran {
  /** Exit code; `null` when a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end in the ground's directory, whatever its exit code. */
export async function runProgram(
  ground: Ground,
  options: {
    readonly command: string
    readonly args: readonly string[]
    readonly stdin?: string
    readonly env?: Readonly<Record<string, string>>
    /** Default 180,000. */
    readonly timeoutMs?: number
  },
): Promise<Ran> {
  return await new Promise((resolve, reject) => {
    const child = execFile(
      options.command,
      options.args,
      {
        cwd: ground.dir,
        env: { PATH: process.env['PATH'], HOME: ground.dir, TMPDIR: ground.dir, ...options.env },
        timeout: options.timeoutMs ?? 180_000,
        killSignal: 'SIGKILL',
        maxBuffer: 64 * 1024 * 1024,
        signal: ground.signal,
      },
      (error, stdout, stderr) => {
        if (child.exitCode === null && child.signalCode === null) reject(error ?? new Error('?'))
        else resolve({ code: child.exitCode, stdout, stderr })
      },
    )
    child.stdin?.on('error', () => undefined) // it ended without reading everything
    child.stdin?.end(options.stdin ?? '')
  })
}

/** The same, and an error that shows its output unless it exits with 0. */
export async function runOk(
  ground: Ground,
  options: Parameters<typeof runProgram>[1],
): Promise<string> {
  const { code, stdout, stderr } = await runProgram(ground, options)
  if (code === 0) return stdout
  const line = [options.command, ...options.args].join(' ')
  throw new Error(`${line}\nended with ${code ?? 'a signal'}:\n${stdout}${stderr}`)
}
