import { mkdir, readFile, rmdir, readdir } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Child, startChild, tail } from './child.ts'
import type { Ground } from './ground.ts'
import { type Ran, runProgram } from './run-program.ts'
import { GivenUp, until } from './until.ts'

/** A machine with a real systemd; see systemd-machine.sh. */
export interface SystemdMachine {
  /** Runs a Bash script inside, as root, from `/root`; rejects with its output unless it exits with 0. */
  run(script: string): Promise<string>
  /** The same, whatever the exit code. */
  try(script: string): Promise<Ran>
  /** A file inside, as seen from outside. */
  path(inside: string): string
}

const program = join(import.meta.dirname, 'systemd-machine.sh')
const hierarchy = ['/sys/fs/cgroup/systemd', '/sys/fs/cgroup'].find(existsSync) ?? '/sys/fs/cgroup'

/** Boots one, with the file `tarball` in `/root`, and returns when systemd takes orders. */
export async function startSystemdMachine(
  ground: Ground,
  options: { readonly tarball: string },
): Promise<SystemdMachine> {
  const name = `latchkey-e2e-${process.pid}-${Date.now()}`
  const group = join(hierarchy, name)
  const root = join(ground.dir, 'machine')
  await mkdir(root)
  await mkdir(group)
  ground.defer(`control group ${name}`, async () => {
    await removeGroup(group)
  })
  const namespaces = ['mount', 'pid', 'cgroup', 'ipc', 'uts', 'net'].map((it) => `--${it}`)
  const child = startChild(ground, {
    name: 'systemd',
    command: '/bin/sh',
    args: [
      '-c',
      'echo $$ >"$0/cgroup.procs" && exec "$@"',
      group,
      ...['unshare', ...namespaces, '--fork', '--kill-child'],
      ...[program, root, options.tarball, process.execPath],
    ],
  })
  // SIGTERM means something else to process 1.
  ground.defer('systemd, at once', async () => {
    await child.kill()
  })
  const pid = await until('process 1 of the machine', () => firstChild(child), {
    timeoutMs: 10_000,
  })
  const attempt = async (script: string): Promise<Ran> =>
    await runProgram(ground, {
      command: 'nsenter',
      args: [
        ...[`--target=${pid}`, '--all', '--'],
        ...['/usr/bin/env', '-i', 'HOME=/root', 'LANG=C.UTF-8'],
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        ...['/bin/bash', '--norc', '-euo', 'pipefail', '-c', `cd /root\n${script}`],
      ],
    })
  await until(
    'systemd to take orders',
    async () => {
      if (!child.running()) throw new GivenUp(`it ended:\n${tail(child.stderr())}`)
      const { stdout } = await attempt('systemctl is-system-running || true')
      return ['running', 'degraded'].includes(stdout.trim())
    },
    { timeoutMs: 20_000, everyMs: 100 },
  )
  return {
    try: attempt,
    run: async (script) => {
      const { code, stdout, stderr } = await attempt(script)
      if (code === 0) return stdout
      throw new Error(`${script}\nended with ${code ?? 'a signal'}:\n${stdout}${stderr}`)
    },
    path: (inside) => `/proc/${pid}/root${inside}`,
  }
}

async function firstChild(child: Child): Promise<number | undefined> {
  if (!child.running()) throw new GivenUp(`it ended:\n${tail(child.stderr())}`)
  const children = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')
  const [pid] = children.split(' ').filter(Boolean)
  return pid === undefined ? undefined : Number(pid)
}

/** Control groups are directories that only rmdir(2) removes, innermost first. */
async function removeGroup(group: string): Promise<void> {
  for (const entry of await readdir(group, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeGroup(join(group, entry.name))
  }
  await until(`${group} to be empty`, async () => (await rmdir(group), true), { timeoutMs: 5000 })
}
