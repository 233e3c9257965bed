import { systemDisk } from '../../../src/clients/disk.ts'
import { keysActivate, keysStage } from '../../../src/admin/keys/change.ts'
import { isLatchkeyError } from '../../../src/base/errors.ts'
import { operationOf } from './operations.ts'
import { contextIn } from './place.ts'
import { alike, backupIn, stateIn, type State } from './state.ts'

/** Where an operation was interrupted, and what was there before and is there when it is not. */
export interface Interrupted {
  readonly operation: string
  readonly cwd: string
  readonly before: State
  readonly after: State
}

const roots = ['file:root', 'file:new']

/**
 * Looks at what an interruption has left, as a process that starts now: the old keyring or the new
 * one, a whole backup or none, and commands that go on. Returns what is wrong, if anything is.
 */
export async function verify(interrupted: Interrupted): Promise<string | undefined> {
  const { cwd, before, after } = interrupted
  const operation = operationOf(interrupted.operation)
  const found = await stateIn({ cwd, roots })
  const isNew = alike(found, after) && !alike(before, after)
  if (!isNew && !alike(found, before)) {
    return `neither old nor new: ${JSON.stringify(found)}`
  }
  const backup = await backupIn(cwd)
  if (typeof backup === 'string' && backup !== 'absent') return `half a backup: ${backup}`
  const context = contextIn(cwd, systemDisk)
  try {
    if (!isNew && !(operation.name === 'backup' && backup !== 'absent')) {
      await operation.run(context)
      const repeated = await stateIn({ cwd, roots })
      if (!mended(repeated, after)) return `repeated: ${JSON.stringify(repeated)}`
    }
    await goOn(cwd)
  } catch (error) {
    if (isLatchkeyError(error)) return `cannot go on: ${error.code} ${error.message}`
    throw error
  }
  const last = await stateIn({ cwd, roots })
  if (typeof last === 'string') return `after going on: ${last}`
  const kept = typeof before === 'string' ? [] : before.keys
  const lost = kept.filter(({ id }) => !last.keys.some((key) => key.id === id))
  return lost.length > 0 ? 'a key was lost' : undefined
}

function mended(repeated: State, after: State): boolean {
  if (typeof repeated === 'string' || typeof after === 'string') return false
  return alike({ ...repeated, generation: after.generation }, after)
}

async function goOn(cwd: string): Promise<void> {
  const context = contextIn(cwd, systemDisk)
  for (const root of roots.toReversed()) {
    try {
      const flags = { keyring: 'keyring', root: [root] }
      const state = await stateIn({ cwd, roots: [root] })
      if (typeof state === 'string') throw new Error('unreachable by this root')
      if (!state.keys.some((key) => key.state === 'staged')) await keysStage(context, flags)
      await keysActivate(context, flags)
      return
    } catch (error) {
      if (root === roots[0]) throw error
    }
  }
}
