import test, { type ExecutionContext } from 'ava'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Stop } from '../../support/crash/killed.ts'
import { operations, type Operation } from '../../support/crash/operations.ts'
import { copyOf, templateOf, type Template } from '../../support/crash/templates.ts'
import type { Interrupted } from '../../support/crash/verify.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const support = join(import.meta.dirname, '../../support/crash')
const operationsPerTest = 4
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
    timeout: 110_000,
    killSignal: 'SIGTERM',
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  return signal === 'SIGKILL' ? undefined : `ended with ${signal ?? code}: ${said}`
}

/** Kills each of `group` at every call, and has a fresh process look at what is left. */
async function killEverywhere(t: ExecutionContext, group: readonly Operation[]): Promise<void> {
  t.timeout(120_000)
  const parent = await temporaryDirectory(t)
  const stops: Stop[] = []
  const left: Interrupted[] = []
  for (const operation of group) {
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
  for (let index = 0; index < stops.length; index += 2 * stopsPerProcess) {
    const pair = [index, index + stopsPerProcess]
      .map((begin) => stops.slice(begin, begin + stopsPerProcess))
      .filter((batch) => batch.length > 0)
    for (const problem of await Promise.all(pair.map(kill))) t.is(problem, undefined)
  }
  await writeFile(`${parent}/left.json`, JSON.stringify(left))
  const { stdout } = await promisify(execFile)(process.execPath, [
    join(support, 'verify-all.ts'),
    `${parent}/left.json`,
  ])
  t.deepEqual(JSON.parse(stdout), [])
  t.true(left.length > 50, `${left.length} kills`)
}

// One after the other, so that never more than two processes run beside this one.
for (let begin = 0; begin < operations.length; begin += operationsPerTest) {
  const group = operations.slice(begin, begin + operationsPerTest)
  const names = group.map(({ name }) => name).join(', ')
  test.serial(`killed at any call on the disk, old or new is left: ${names}`, async (t) => {
    await killEverywhere(t, group)
  })
}
