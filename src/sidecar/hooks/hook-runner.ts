import type { Clock } from '../../base/clock.ts'
import { Doorbell } from '../../base/doorbell.ts'
import { backoffMs, type Backoff } from '../../base/retry.ts'
import type { Hook, MountEntry, MountPlan } from '../../injection/plan.ts'
import type { Journal } from '../journal.ts'

/** Does what a hook says; throws `ERR_HOOK_FAILED`. */
export type PerformHook = (hook: Hook, entry: MountEntry, signal: AbortSignal) => Promise<void>

const backoff: Backoff = { initialMs: 500, maxMs: 60_000, factor: 2 }

/** What the runner works with. */
export interface HookRunnerOptions {
  readonly journal: Journal
  readonly perform: PerformHook
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly onOutcome: (hook: Hook, error: unknown) => void
  /** All that was due was tried. */
  readonly onRound: () => void
}

/**
 * Runs the hooks that the journal has as due, each at least once after its files changed, and again
 * until it succeeds. Equal hooks of several entries run once for all of them.
 */
export class HookRunner {
  readonly #plan: MountPlan
  readonly #options: HookRunnerOptions
  readonly #bell = new Doorbell()
  #failing = false

  constructor(plan: MountPlan, options: HookRunnerOptions) {
    this.#plan = plan
    this.#options = options
  }

  /** Whether a hook is due whose last attempt failed. */
  get failing(): boolean {
    return this.#failing
  }

  /** Says that the journal has something new. */
  wake(): void {
    this.#bell.ring()
  }

  /** Runs what is due, whenever {@link HookRunner.wake} says so, until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; ;) {
      const succeeded = await this.runDue(signal)
      const { clock, random } = this.#options
      const pause = succeeded ? undefined : backoffMs(backoff, attempt, random)
      attempt = succeeded ? 0 : attempt + 1
      await this.#bell.wait({ clock, signal, ...(pause !== undefined && { ms: pause }) })
      signal.throwIfAborted()
    }
  }

  /** Runs everything that is due once. Returns whether nothing failed. */
  async runDue(signal: AbortSignal): Promise<boolean> {
    const { journal, perform, onOutcome } = this.#options
    const marks = journal.hookMarks()
    let failing = false
    for (const { hook, entry, indexes } of this.#due()) {
      signal.throwIfAborted()
      try {
        await perform(hook, entry, signal)
        journal.settleHooks(indexes, marks)
        onOutcome(hook, undefined)
      } catch (error) {
        signal.throwIfAborted()
        failing = true
        onOutcome(hook, error)
      }
    }
    this.#failing = failing
    this.#options.onRound()
    return !failing
  }

  #due(): readonly { hook: Hook; entry: MountEntry; indexes: number[] }[] {
    const groups = new Map<string, { hook: Hook; entry: MountEntry; indexes: number[] }>()
    for (const index of this.#options.journal.state.pendingHooks) {
      const entry = this.#plan.entries[index]
      if (entry?.onChange === undefined) continue
      const key = JSON.stringify(entry.onChange)
      const group = groups.get(key)
      if (group === undefined) groups.set(key, { hook: entry.onChange, entry, indexes: [index] })
      else group.indexes.push(index)
    }
    return [...groups.values()]
  }
}
