import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Child, startChild } from './child.ts'
import type { Ground } from './ground.ts'
import { type KmsPluginOptions, answering, kmsFlags, readMetrics } from './kms-plugin.ts'
import { ourProgram } from './our-program.ts'
import { until } from './until.ts'

/** The plugin behind a socket that it did not open and that outlives it. */
export interface SocketActivated {
  readonly socket: string
  /** As `systemctl restart`: SIGTERM, and the next process as soon as the last one has ended. */
  restart(): Promise<void>
  /** Kills the process with SIGKILL; the socket stays and none is started until {@link resume}. */
  crash(): Promise<void>
  resume(): Promise<void>
  /** How many processes have served so far. */
  processes(): number
  stderr(): string
  metrics(): Promise<string>
}

/** Starts it under `systemd-socket-activate` and resolves when Status is answered. */
export async function startSocketActivated(
  ground: Ground,
  options: KmsPluginOptions,
): Promise<SocketActivated> {
  const { socket } = options
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 })
  const { command, script } = await ourProgram(ground, 'kms', options.origin)
  const hold = join(ground.dir, 'hold')
  const holder = startChild(ground, {
    name: 'latchkey-kms.socket',
    command: 'systemd-socket-activate',
    args: [
      ...[`--listen=${socket}`, ...passedOn()],
      ...[join(import.meta.dirname, 'hold-socket.sh'), hold],
      ...[command, script, ...kmsFlags(options)],
    ],
  })
  const pids = (): readonly number[] =>
    holder.stdout().trim().split('\n').filter(Boolean).map(Number)
  const next = async (after: number): Promise<void> => {
    await until('the next process', () => pids().length > after, { timeoutMs: 15_000, everyMs: 5 })
  }
  // As SocketMode=0600 in a socket unit: the plugin refuses a socket that is open to everybody.
  await until('the socket', async () => await chmod(socket, 0o600).then(() => true), {
    timeoutMs: 5000,
  })
  await answering(holder, socket)
  return {
    socket,
    restart: async () => {
      const before = pids()
      process.kill(current(holder, before), 'SIGTERM')
      await next(before.length)
    },
    crash: async () => {
      const pid = current(holder, pids())
      await writeFile(hold, '')
      process.kill(pid, 'SIGKILL')
      await until('it to be gone', () => gone(pid), { timeoutMs: 5000, everyMs: 5 })
    },
    resume: async () => {
      const before = pids()
      await rm(hold)
      await next(before.length)
    },
    processes: () => pids().length,
    stderr: () => holder.stderr(),
    metrics: async () => await readMetrics(options.metrics),
  }
}

function current(holder: Child, pids: readonly number[]): number {
  const pid = pids.at(-1)
  if (pid === undefined || !holder.running()) throw new Error('no process serves the socket')
  return pid
}

function gone(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return false
  } catch {
    return true
  }
}

/** systemd-socket-activate hands on only the variables it is told to. */
function passedOn(): readonly string[] {
  return ['PATH', 'HOME', 'TMPDIR', 'LATCHKEY_E2E_RUN'].map((name) => `--setenv=${name}`)
}
