import { LatchkeyError } from '../../base/errors.ts'
import type { Hook, SignalName } from '../../injection/plan.ts'

/** A process that shares our process ids. */
export interface ProcessFacts {
  readonly pid: number
  readonly parent: number
  /** Its name as the kernel has it, cut at 15 bytes, and the last part of its first argument. */
  readonly names: readonly string[]
}

/** What the signal hook asks of the system. */
export interface ProcessTable {
  /** Every process of the same user but this one. */
  list(): readonly ProcessFacts[]
  /** Sends a signal; throws as `process.kill` does. */
  signal(pid: number, signal: SignalName): void
}

/**
 * Signals the processes of a name. Of a family of processes of that name only the eldest gets it, as
 * for a server whose master re-reads its files and renews its workers.
 *
 * @throws `ERR_HOOK_FAILED` when there is no such process, or it may not be signalled.
 */
export function signalProcesses(
  hook: Extract<Hook, { readonly kind: 'signal' }>,
  table: ProcessTable,
): void {
  const all = table.list()
  const named = new Set(all.filter((each) => isNamed(each, hook.process)).map(({ pid }) => pid))
  const eldest = all.filter(({ pid, parent }) => named.has(pid) && !named.has(parent))
  if (eldest.length === 0) {
    throw new LatchkeyError(
      'ERR_HOOK_FAILED',
      `no process of this user is called ${hook.process}`,
      {
        hint: 'check the name, shareProcessNamespace, and that both run as the same user',
      },
    )
  }
  for (const { pid } of eldest) {
    try {
      table.signal(pid, hook.signal)
    } catch (error) {
      throw new LatchkeyError('ERR_HOOK_FAILED', `process ${pid} cannot be signalled`, {
        cause: error,
      })
    }
  }
}

function isNamed(facts: ProcessFacts, name: string): boolean {
  return facts.names.some((each) => each === name || (each.length === 15 && name.startsWith(each)))
}
