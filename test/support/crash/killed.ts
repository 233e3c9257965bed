/**
 * A process that runs operations, each in a directory of its own, stops each at one of its calls on
 * the disk, and kills itself once all of them stand there: none gets to clean up.
 */
import { truncate } from 'node:fs/promises'
import { systemDisk } from '../../../src/clients/disk.ts'
import { hookedDisk, type DiskCall } from '../hooked-disk.ts'
import { operationOf } from './operations.ts'
import { contextIn } from './place.ts'

/** Where to stop: before or after a call, or with half of a write done. */
export interface Stop {
  readonly operation: string
  readonly cwd: string
  readonly call: number
  readonly at: 'before' | 'after' | 'half'
}

const stops = JSON.parse(process.argv[2] ?? '[]') as readonly Stop[]
let running = stops.length

async function stopHere(): Promise<never> {
  running -= 1
  if (running === 0) process.kill(process.pid, 'SIGKILL')
  return new Promise<never>(() => undefined)
}

async function run(stop: Stop): Promise<void> {
  let calls = 0
  const hook = async (call: DiskCall, act: () => Promise<void>): Promise<void> => {
    const isHere = calls++ === stop.call
    if (isHere && stop.at === 'before') return stopHere()
    await act()
    if (!isHere) return
    if (stop.at === 'half') await truncate(call.path, (call.bytes?.byteLength ?? 0) >> 1)
    await stopHere()
  }
  await operationOf(stop.operation).run(contextIn(stop.cwd, hookedDisk(systemDisk, hook)))
  throw new Error(`${stop.operation} has no call ${stop.call}`)
}

await Promise.all(stops.map(run))
