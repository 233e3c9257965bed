import test from 'ava'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Stop } from '../../support/crash/killed.ts'
import { operations } from '../../support/crash/operations.ts'
import { copyOf, templateOf, type Template } from '../../support/crash/templates.ts'
import type { Interrupted } from '../../support/crash/verify.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const support = join(import.meta.dirname, '../../support/crash')
const stopsPerProcess = 24

/** Before each call, after the last, and in the middle of each write. */
function stopsOf({ operation, directory, calls }: Template): Stop[] {
  const stop = (call: number, at: Stop['at']): Stop => ({
    operation: operation.name,
    cwd: `${directory}.${call}.${at}`,
    call,
    at,
  })
  return calls.flatMap((call, index) => [
    stop(index, 'before'),
    ...(call.name === 'write' ? [stop(index, 'half')] : []),
    ...(index === calls.length - 1 ? [stop(index, 'after')] : []),
  ])
}

/** Runs a process that must kill itself; returns what it said otherwise. */
async function kill(stops: readonly Stop[]): Promise<string | undefined> {
  const child = spawn(process.execPath, [join(support, 'killed.ts'), JSON.stringify(stops)], {
    stdio: ['ignore', 'inherit', 'pipe'],
    timeout: 50_000,
    killSignal: 'SIGTERM',
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  return signal === 'SIGKILL' ? undefined : `ended with ${signal ?? code}: ${said}`
}

test('killed before, in and after any call on the disk, every command leaves old or new', async (t) => {
  t.timeout(60_000)
  const parent = await temporaryDirectory(t)
  const stops: Stop[] = []
  const left: Interrupted[] = []
  for (const operation of operations) {
    const template = await templateOf(operation, parent)
    const { calls, before, after } = template
    t.true(calls.length >= 7, `${operation.name} makes ${calls.length} calls`)
    t.is(typeof before !== 'string', operation.begins === 'with a keyring', operation.name)
    t.not(typeof after, 'string', `${operation.name}: ${JSON.stringify(after)}`)
    for (const stop of stopsOf(template)) {
      await copyOf(template.directory, stop.cwd)
      stops.push(stop)
      left.push({ operation: operation.name, cwd: stop.cwd, before, after })
    }
  }
  const batches = Array.from({ length: Math.ceil(stops.length / stopsPerProcess) }, (_, index) =>
    stops.slice(index * stopsPerProcess, (index + 1) * stopsPerProcess),
  )
  for (let index = 0; index < batches.length; index += 2) {
    const pair = batches.slice(index, index + 2)
    for (const problem of await Promise.all(pair.map(kill))) t.is(problem, undefined)
  }
  await writeFile(`${parent}/left.json`, JSON.stringify(left))
  const { stdout } = await promisify(execFile)(process.execPath, [
    join(support, 'verify-all.ts'),
    `${parent}/left.json`,
  ])
  t.deepEqual(JSON.parse(stdout), [])
  t.true(left.length > 200, `${left.length} kills`)
  t.log(`${left.length} kills in ${batches.length} processes`)
})
