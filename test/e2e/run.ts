import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { binary } from './support/binaries.ts'
import { leftBehind } from './support/left-behind.ts'
import { findPromtool } from './support/promtool.ts'
import type { ToolName } from './support/tools.ts'

// npm run test:e2e [-- arguments for ava]: builds the real servers, runs every end-to-end test
// against them, and sees to it that no process outlives the run.

const needed: readonly ToolName[] = ['etcd', 'kube-apiserver', 'kubectl']
/** Name patterns of test files, and the programs without which they are left out. */
const extraPrograms: Readonly<Record<string, readonly ToolName[]>> = {
  'older-*': ['older-kube-apiserver'],
  '*guide*': ['etcdctl', 'kubeadm'],
  'etcd/client-users': ['etcdctl'],
  'etcd/snapshot*': ['etcdctl', 'etcdutl'],
  'etcd/scan*': ['etcdctl', 'transformer'],
  'etcd/*drill': ['etcdctl', 'etcdutl'],
  'delivery/operator': ['kube-controller-manager'],
  proof: ['etcdctl'],
  'chart*': ['helm'],
  'gatekeeper*': ['gator'],
}
const root = join(import.meta.dirname, '..', '..')
const run = randomUUID()

process.exitCode = await main()

async function main(): Promise<number> {
  try {
    // One after the other: the Go linker alone fills a small machine.
    for (const name of needed) await binary(name)
    await extras()
    await buildRelease()
  } catch (error) {
    console.error(`test:e2e: ${error instanceof Error ? error.message : 'unknown error'}`)
    return 1
  }
  const code = await ava(process.argv.slice(2))
  const strays = await leftBehind(run)
  for (const { pid, command } of strays) {
    console.error(
      `test:e2e: process ${pid} outlived the run and is killed: ${command.slice(0, 200)}`,
    )
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has gone meanwhile.
    }
  }
  return strays.length > 0 ? 1 : code
}

/**
 * Prepares what some tests need beyond that. Those who bring `KUBEBUILDER_ASSETS` and no Go, or are
 * not root, do without, and are told.
 */
async function extras(): Promise<void> {
  const without: string[] = []
  const leaveOut = (files: string, why: string): void => {
    console.error(`test:e2e: LEFT OUT: ${why}`)
    without.push(files)
  }
  for (const [files, names] of Object.entries(extraPrograms)) {
    try {
      for (const name of names) await binary(name)
    } catch (error) {
      if ((process.env['KUBEBUILDER_ASSETS'] ?? '') === '') throw error
      leaveOut(files, `tests with ${names.join(' and ')}, as Go is missing`)
    }
  }
  if ((await findPromtool()) === undefined) {
    leaveOut('rules*', 'tests with promtool, as it is neither on PATH nor to be had by apt-get')
  }
  if (process.getuid?.() !== 0)
    leaveOut('as-root-*', 'tests that boot systemd or change roots, as you are not root')
  process.env['LATCHKEY_E2E_WITHOUT'] = without.join(',')
}

/** Builds the release once for all tests that run the programs as they are installed. */
async function buildRelease(): Promise<void> {
  const out = join(await mkdtemp(join(tmpdir(), 'latchkey-release-')), 'release')
  process.once('exit', () => {
    rmSync(dirname(out), { recursive: true, force: true })
  })
  const script = join(root, 'scripts', 'build.ts')
  await promisify(execFile)(process.execPath, [script, '--out', out], { cwd: root })
  process.env['LATCHKEY_E2E_RELEASE'] = out
}

async function ava(args: readonly string[]): Promise<number> {
  const program = join(root, 'node_modules', 'ava', 'entrypoints', 'cli.mjs')
  const config = join(import.meta.dirname, 'ava.config.js')
  const child = spawn(process.execPath, [program, '--config', config, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, LATCHKEY_E2E_RUN: run },
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => child.kill(signal))
  }
  return await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      if (signal !== null) console.error(`test:e2e: the test runner ended with ${signal}`)
      resolve(code ?? 1)
    })
  })
}
