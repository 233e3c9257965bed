import * as fs from 'node:fs/promises'
import { systemDisk } from '../../../src/clients/disk.ts'
import { recordedDisk, type DiskCall } from '../hooked-disk.ts'
import type { Operation } from './operations.ts'
import { contextIn } from './place.ts'
import { stateIn, type State } from './state.ts'

/** A directory in which an operation can begin, the calls it makes, and the states around it. */
export interface Template {
  readonly operation: Operation
  readonly directory: string
  readonly calls: readonly DiskCall[]
  readonly before: State
  readonly after: State
}

const roots = ['file:root', 'file:new']

/** Prepares the operation below `parent`, and runs it once, in a copy, to see what it does. */
export async function templateOf(operation: Operation, parent: string): Promise<Template> {
  const directory = `${parent}/${operation.name.replaceAll(' ', '-')}`
  await fs.mkdir(directory)
  await operation.prepare(contextIn(directory, systemDisk))
  const trial = `${directory}.trial`
  await copyOf(directory, trial)
  const { disk, calls } = recordedDisk(systemDisk)
  await operation.run(contextIn(trial, disk))
  return {
    operation,
    directory,
    calls,
    before: await stateIn({ cwd: directory, roots }),
    after: await stateIn({ cwd: trial, roots }),
  }
}

/** A copy with the same modes and times. */
export async function copyOf(directory: string, copy: string): Promise<void> {
  await fs.cp(directory, copy, { recursive: true, preserveTimestamps: true })
}
