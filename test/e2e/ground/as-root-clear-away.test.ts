import test from 'ava'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { useGround } from '../support/ground.ts'
import { makeControlGroups } from '../support/one-node/control-groups.ts'
import { until } from '../support/until.ts'

// What outlives a cluster of test:cluster goes when whoever held it is gone, killed or not.

const ground = useGround(test)
const script = join(import.meta.dirname, '../support/one-node/clear-away.sh')

async function makeDirectory(name: string): Promise<string> {
  const directory = join(ground.dir, name)
  for (const path of ['var/lib', 'containerd', 'images']) {
    await mkdir(join(directory, path), { recursive: true })
  }
  await writeFile(join(directory, 'kubelet.err'), 'a log')
  return directory
}

/** The script, whose standard input ends with a process of its own. */
function startHeld(args: readonly string[]): { holder: ChildProcess; exited: Promise<unknown> } {
  const holder = spawn('sleep', ['600'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const cleaner = spawn(script, args, { stdio: [holder.stdout, 'ignore', 'inherit'] })
  ground.defer('cleaner and holder', () => {
    holder.kill('SIGKILL')
    cleaner.kill('SIGKILL')
  })
  return { holder, exited: once(cleaner, 'exit') }
}

test('directory and control groups go when the holder was killed, and not before', async (t) => {
  const directory = await makeDirectory('killed')
  const groups = await makeControlGroups()
  // As kubelet and runc leave them: groups in groups.
  for (const group of groups.directories)
    await mkdir(join(group, 'kubepods', 'pod'), { recursive: true })
  const { holder, exited } = startHeld([directory, ...groups.directories])
  await until('the holder to run', () => existsSync(`/proc/${holder.pid ?? 0}`), {
    timeoutMs: 5_000,
  })
  for (const path of [directory, ...groups.directories]) t.true(existsSync(path), path)
  holder.kill('SIGKILL')
  await exited
  for (const path of [directory, ...groups.directories]) t.false(existsSync(path), path)
})

test('after a failure the logs are kept, and what is large is not', async (t) => {
  const directory = await makeDirectory('failed')
  await writeFile(join(directory, 'keep'), '')
  const { holder, exited } = startHeld([directory])
  holder.kill('SIGKILL')
  await exited
  t.true(existsSync(join(directory, 'kubelet.err')))
  for (const path of ['var', 'containerd', 'images'])
    t.false(existsSync(join(directory, path)), path)
})
