import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemCode } from '../../../src/base/errors.ts'
import type { Ground } from './ground.ts'

/** How a process ended. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A running process, alone in its process group. */
export interface Child {
  readonly name: string
  readonly pid: number
  /** Resolves when it has ended, however it did. */
  readonly exited: Promise<Exit>
  /** Everything it wrote so far. */
  stdout(): string
  stderr(): string
  running(): boolean
  /** Sends `signal` to its whole group. */
  signal(signal: NodeJS.Signals): void
  /** Asks it to end (SIGTERM) and, after `graceMs` (default 30,000), makes it (SIGKILL). */
  stop(graceMs?: number): Promise<Exit>
  /** SIGKILL, now. */
  kill(): Promise<Exit>
}

// The kernel ends the child when the test process is gone, however that ended.
const leash = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL'] : []

/**
 * Starts a process of the ground. Its output goes to `NAME.out` and `NAME.err` in the ground's
 * directory, appended over restarts. It has no stdin and only the environment given here.
 */
export function startChild(
  ground: Ground,
  options: {
    readonly name: string
    readonly command: string
    readonly args: readonly string[]
    readonly env?: Readonly<Record<string, string>>
    /** Default: the ground's directory. */
    readonly cwd?: string
    /** File descriptors to pass on, from number 3. */
    readonly descriptors?: readonly number[]
  },
): Child {
  const { name } = options
  const files = { out: join(ground.dir, `${name}.out`), err: join(ground.dir, `${name}.err`) }
  const [out, err] = [openSync(files.out, 'a', 0o600), openSync(files.err, 'a', 0o600)]
  const begin = { out: readFileSync(files.out).byteLength, err: readFileSync(files.err).byteLength }
  const [file = options.command, ...args] = [...leash, options.command, ...options.args]
  const child = spawn(file, args, {
    cwd: options.cwd ?? ground.dir,
    env: { ...baseEnvironment(ground), ...options.env },
    stdio: ['ignore', out, err, ...(options.descriptors ?? [])],
    detached: true,
  })
  closeSync(out)
  closeSync(err)
  const { pid } = child
  child.once('error', () => undefined) // told below, by the missing pid
  if (pid === undefined) throw new Error(`${name}: cannot start ${options.command}`)

  let over = false
  const send = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-pid, signal)
    } catch (error) {
      if (systemCode(error) !== 'ESRCH') throw error
    }
  }
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => {
      over = true
      send('SIGKILL') // whatever it left behind in its group
      resolve({ code, signal })
    })
  })
  const end = async (first: NodeJS.Signals, graceMs: number): Promise<Exit> => {
    if (over) return await exited
    send(first)
    const timer = setTimeout(send, graceMs, 'SIGKILL')
    try {
      return await exited
    } finally {
      clearTimeout(timer)
    }
  }
  const since = (path: string, offset: number): string =>
    readFileSync(path).toString('utf8', offset)
  const handle: Child = {
    name,
    pid,
    exited,
    stdout: () => since(files.out, begin.out),
    stderr: () => since(files.err, begin.err),
    running: () => !over,
    signal: (signal) => {
      if (!over) send(signal)
    },
    stop: async (graceMs = 30_000) => await end('SIGTERM', graceMs),
    kill: async () => await end('SIGKILL', 0),
  }
  ground.defer(name, async () => {
    await handle.stop()
  })
  return handle
}

/**
 * The least a program needs, so that no test depends on the developer's environment. The mark of
 * the run, if there is one, lets the runner find processes that were left behind.
 */
function baseEnvironment(ground: Ground): Record<string, string> {
  const run = process.env['LATCHKEY_E2E_RUN']
  return {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOME: ground.dir,
    TMPDIR: ground.dir,
    ...(run === undefined ? {} : { LATCHKEY_E2E_RUN: run }),
  }
}

/** The last lines of a program's output, for error messages. */
export function tail(text: string, lines = 15): string {
  return text.trimEnd().split('\n').slice(-lines).join('\n')
}
