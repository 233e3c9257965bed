import type { Clock } from '../../base/clock.ts'
import { effectiveMode } from '../../injection/plan.ts'
import type { FileOperations } from '../publish/file-operations.ts'
import type { PerformHook } from './hook-runner.ts'
import { callHttp } from './http-hook.ts'
import { signalProcesses, type ProcessTable } from './signal-hook.ts'
import { touchFile } from './touch-hook.ts'

/** Performs every kind of hook on this machine. */
export function hookPerformer(options: {
  /** Put before the path of a file to touch. */
  readonly root: string
  readonly operations: FileOperations
  readonly processes: ProcessTable
  readonly clock: Pick<Clock, 'now'>
}): PerformHook {
  const { root, operations, processes, clock } = options
  return async (hook, entry, signal) => {
    switch (hook.kind) {
      case 'http':
        await callHttp(hook, signal)
        return
      case 'touch': {
        const access = { mode: effectiveMode(entry), group: entry.group }
        const target = { root, path: hook.path, access }
        touchFile(target, { operations, nowMs: clock.now() })
        return
      }
      case 'signal':
        signalProcesses(hook, processes)
    }
  }
}
