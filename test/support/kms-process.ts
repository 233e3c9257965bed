import type { ExecutionContext } from 'ava'
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { until } from './until.ts'

const program = fileURLToPath(new URL('../../cmd/kms.ts', import.meta.url))
const cli = fileURLToPath(new URL('../../cmd/latchkey.ts', import.meta.url))

/** How a program ended and what it said. */
export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs `latchkey-kms` to its end. */
export function runKmsProgram(...args: readonly string[]): Promise<Ran> {
  return run(program, args)
}

/** Runs `latchkey` to its end. */
export function runLatchkey(...args: readonly string[]): Promise<Ran> {
  return run(cli, args)
}

function run(path: string, args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [path, ...args], (_error, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, stdout, stderr })
    })
  })
}

/** A `latchkey-kms` process. */
export interface KmsProcess {
  readonly child: ChildProcess
  /** Its log lines so far. */
  readonly lines: () => readonly Record<string, unknown>[]
  /** Everything it printed. */
  readonly output: () => string
  /** Sends the signal and resolves with the exit code, or the signal that ended it. */
  readonly end: (signal?: NodeJS.Signals) => Promise<number | string>
  /** Private memory in MB. */
  readonly privateMegabytes: () => Promise<number>
}

/**
 * Starts `latchkey-kms` and waits until its socket is open, unless somebody else is given what would
 * tell: its socket to be passed on, or its standard error.
 */
export async function startKms(
  t: ExecutionContext,
  args: readonly string[],
  options: { readonly stdio3?: 'pipe' | number; readonly stderr?: number } = {},
): Promise<KmsProcess> {
  const { stdio3, stderr = 'pipe' } = options
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', stderr, ...(stdio3 === undefined ? [] : [stdio3])],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  }
  const exited = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  const lines = (): readonly Record<string, unknown>[] =>
    text
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  if (stdio3 !== 'pipe' && stderr === 'pipe') await listening()
  return {
    child,
    lines,
    output: () => text,
    end: async (signal = 'SIGTERM') => {
      child.kill(signal)
      const [code, by] = await exited
      return code ?? by ?? 'nothing'
    },
    privateMegabytes: async () => {
      const status = await readFile(`/proc/${child.pid ?? 0}/status`, 'utf8')
      return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
    },
  }

  async function listening(): Promise<void> {
    await until(
      t,
      () => child.exitCode !== null || lines().some(({ event }) => event === 'kms.listening'),
      { what: 'it listens' },
    )
    if (child.exitCode !== null) throw new Error(`it ended:\n${text}`)
  }
}
