import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { bundle } from '../../scripts/build/bundle.ts'
import { exerciseKms } from '../../scripts/build/exercise-kms.ts'
import { writeLaunchers } from '../../scripts/build/launchers.ts'
import { findPrograms } from '../../scripts/build/programs.ts'
import { binary } from '../e2e/support/binaries.ts'
import { startChild, type Child } from '../e2e/support/child.ts'
import type { Ground } from '../e2e/support/ground.ts'

/** A KMS server that is measured: how it is started on a socket. */
export interface Contender {
  readonly name: string
  start(socket: string): Child
}

const project = join(import.meta.dirname, '..', '..')
/** As deploy/systemd/latchkey-kms.service has them; the do-nothing server gets the same. */
const nodeFlags = ['--max-semi-space-size=2', '--max-old-space-size=128']
const mallocSettings = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_TRIM_THRESHOLD_: '65536',
  MALLOC_MMAP_THRESHOLD_: '65536',
}

/** Bundles what is measured, as a release is, and returns where each launcher is. */
export async function buildPrograms(ground: Ground): Promise<(name: string) => string> {
  const out = join(ground.dir, 'dist')
  const programs = [
    ...(await findPrograms(project)),
    { name: 'do-nothing', source: 'test/bench/do-nothing.ts' },
    { name: 'do-nothing-webhook', source: 'test/bench/do-nothing-webhook.ts' },
  ]
  await bundle(programs, { project, out })
  await writeLaunchers(programs, { out })
  await cp(join(project, 'proto'), join(out, 'proto'), { recursive: true })
  return (name) => join(out, 'bin', name)
}

/**
 * The contenders, started alike: latchkey-kms and the do-nothing server as bundles with a warm compile
 * cache, and, where Go is there, a minimal plugin in Go.
 */
export async function buildContenders(
  ground: Ground,
  launcher: (name: string) => string,
): Promise<readonly Contender[]> {
  const keyring = [
    '--keyring',
    join(ground.dir, 'keyring'),
    '--root',
    `file:${join(ground.dir, 'root')}`,
  ]
  const init = startChild(ground, {
    name: 'keys-init',
    command: process.execPath,
    args: [launcher('latchkey'), 'keys', 'init', ...keyring],
  })
  const { code } = await init.exited
  if (code !== 0) throw new Error(`keys init failed: ${init.stderr()}`)
  const node = (name: string, args: (socket: string) => readonly string[]): Contender => ({
    name,
    start: (socket) =>
      startChild(ground, {
        name,
        command: process.execPath,
        args: [...nodeFlags, launcher(name), ...args(socket)],
        env: mallocSettings,
      }),
  })
  const contenders = [
    node('do-nothing', (socket) => [socket, join(project, 'proto/kms/v2/api.proto')]),
    node('latchkey-kms', (socket) => [...keyring, '--listen', `unix://${socket}`]),
  ]
  for (const contender of contenders) await warm(contender, join(ground.dir, 'warm.sock'))
  const go = await binary('kms-plugin').catch((error: unknown) => {
    console.error(`without the Go plugin: ${error instanceof Error ? error.message : 'not built'}`)
    return undefined
  })
  if (go === undefined) return contenders
  const start = (socket: string): Child =>
    startChild(ground, { name: 'go-plugin', command: go, args: [socket] })
  return [...contenders, { name: 'go-plugin', start }]
}

/** Runs it once to a normal end, which is when Node.js writes what it compiled. */
async function warm(contender: Contender, socket: string): Promise<void> {
  const child = contender.start(socket)
  try {
    await exerciseKms(socket).catch((error: unknown) => {
      // The do-nothing server gives nothing back, which is all that is wrong with it.
      if (contender.name !== 'do-nothing') throw error
    })
  } finally {
    await child.stop()
  }
}
