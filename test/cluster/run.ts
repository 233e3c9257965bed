import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { binary } from '../e2e/support/binaries.ts'
import { leftBehind } from '../e2e/support/left-behind.ts'
import {
  abandonedControlGroups,
  makeControlGroups,
} from '../e2e/support/one-node/control-groups.ts'
import { writeTestImages } from '../e2e/support/one-node/images.ts'
import { missing } from '../e2e/support/one-node/requirements.ts'
import type { ToolName } from '../e2e/support/tools.ts'

// npm run test:cluster [-- arguments for ava]: a Kubernetes with one real node, in namespaces of its
// own, and the tests that need one; npm run bench:cluster: what is measured on one. Nothing of the machine is changed but for control groups, which
// are removed when the run has ended, however it did.

const needed: readonly ToolName[] = [
  ...(['etcd', 'etcdctl', 'kube-apiserver', 'kubectl', 'kube-controller-manager'] as const),
  ...(['kube-scheduler', 'kubelet', 'kube-proxy', 'containerd'] as const),
  ...(['containerd-shim-runc-v2', 'ctr', 'coredns'] as const),
]
const project = join(import.meta.dirname, '..', '..')
const parts = join(project, 'test/e2e/support/one-node')

process.exitCode = await main()

async function main(): Promise<number> {
  const reason = await missing()
  if (reason !== undefined) {
    console.error(`test:cluster: LEFT OUT: tests with a real node, as ${reason}`)
    return process.env['CI'] === 'true' ? 1 : 0
  }
  try {
    for (const name of needed) await binary(name)
    return await runInCluster(process.argv.slice(2))
  } catch (error) {
    console.error(`test:cluster: ${error instanceof Error ? error.message : 'unknown error'}`)
    return 1
  }
}

async function runInCluster(args: readonly string[]): Promise<number> {
  const run = randomUUID()
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-cluster-'))
  const groups = await makeControlGroups()
  const clearing = [...groups.directories, ...(await abandonedControlGroups())]
  // In a session of its own, so that it outlives whatever ends this process.
  const cleaner = spawn(join(parts, 'clear-away.sh'), [directory, ...clearing], {
    detached: true,
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  const cleared = new Promise<void>((resolve) => {
    cleaner.once('exit', () => {
      resolve()
    })
  })
  try {
    await makeImages(join(directory, 'images'))
    return await insideOf({ run, directory, controlGroup: groups.name, args })
  } finally {
    cleaner.stdin.end()
    await cleared
    for (const { pid, command } of await leftBehind(run)) {
      console.error(`test:cluster: process ${pid} outlived the run: ${command.slice(0, 200)}`)
      process.exitCode = 1
    }
    if (existsSync(directory)) console.error(`something failed: logs are left in ${directory}`)
  }
}

async function makeImages(directory: string): Promise<void> {
  await mkdir(directory)
  await promisify(execFile)(
    process.execPath,
    [join(project, 'scripts', 'image.ts'), join(directory, 'latchkey.tar')],
    { cwd: project },
  )
  await writeTestImages(directory)
}

/** Runs inside.ts in namespaces of its own and resolves with its exit code. */
async function insideOf(options: {
  readonly run: string
  readonly directory: string
  readonly controlGroup: string
  readonly args: readonly string[]
}): Promise<number> {
  const { run, directory, controlGroup, args } = options
  const child = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', 'unshare', '--net', '--mount', '--pid', '--fork'],
      ...['--kill-child', '--mount-proc', join(parts, 'namespaces.sh'), directory],
      ...[process.execPath, join(import.meta.dirname, 'inside.ts')],
      ...[directory, controlGroup, ...args],
    ],
    {
      cwd: project,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, TMPDIR: directory, LATCHKEY_E2E_RUN: run },
    },
  )
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    // Whoever asks it to end means all of it, now.
    process.once(signal, () => child.kill('SIGKILL'))
  }
  return await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      if (signal !== null) console.error(`test:cluster: ended by ${signal}`)
      resolve(code ?? 1)
    })
  })
}
