import { spawn } from 'node:child_process'
import { glob, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openGround } from '../e2e/support/ground.ts'
import { startOneNode } from '../e2e/support/one-node/start.ts'
import { writeHandle } from './support/handle.ts'
import { installAsWritten } from './support/install.ts'

// inside.ts DIRECTORY CONTROL-GROUP [--bench | arguments for ava]: started by run.ts in the cluster's namespaces.
// It stops nothing: when it ends, so does everything in here.

const [directory = '', controlGroup = '', ...args] = process.argv.slice(2)
const project = join(import.meta.dirname, '..', '..')
const bench = join(import.meta.dirname, 'bench', 'run.ts')
const ava = [
  join(project, 'node_modules', 'ava', 'entrypoints', 'cli.mjs'),
  ...['--config', join(import.meta.dirname, 'ava.config.js'), ...args],
]

process.exitCode = await main().catch(async (error: unknown) => {
  console.error('test:cluster:', error instanceof Error ? error.message : 'unknown error')
  await keep()
  return 1
})
process.exit()

async function main(): Promise<number> {
  const { ground } = openGround()
  const images: string[] = []
  for await (const name of glob('*.tar', { cwd: join(directory, 'images') })) {
    images.push(join(directory, 'images', name))
  }
  const started = performance.now()
  const cluster = await startOneNode(ground, { directory, controlGroup, images })
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.error(`one node is ready after ${seconds} s`)
  await installAsWritten(ground, { directory, kubeconfig: cluster.server.kubeconfig })
  const handle = join(directory, 'cluster.json')
  await writeHandle(handle, { directory, ground, controlGroup, cluster })
  const code = await node(handle, args[0] === '--bench' ? [bench, ...args.slice(1)] : ava)
  if (code !== 0) await keep()
  return code
}

/** Leaves the logs for whoever looks into what failed. */
async function keep(): Promise<void> {
  await writeFile(join(directory, 'keep'), '')
}

/** Runs a script with the cluster's handle, and resolves with its exit code. */
async function node(handle: string, script: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, script, {
    cwd: project,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, LATCHKEY_CLUSTER: handle },
  })
  return await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => {
      resolve(code ?? 1)
    })
  })
}
