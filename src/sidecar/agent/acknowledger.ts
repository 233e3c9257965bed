import { isLatchkeyError } from '../../base/errors.ts'
import type { MountPlan } from '../../injection/plan.ts'
import type { BrokerSession } from '../broker/session.ts'
import type { HookRunner } from '../hooks/hook-runner.ts'
import type { Entries } from './entries.ts'
import { outcomeOf } from './outcome.ts'
import type { PublishedFiles } from './published-files.ts'

/** Tells the broker what became of its newest set, and again whenever that changes. */
export class Acknowledger {
  readonly #plan: MountPlan
  readonly #parts: {
    readonly files: PublishedFiles
    readonly entries: Entries
    readonly hooks: HookRunner
  }
  #set: { readonly sequence: number; readonly version: string } | undefined
  #sent: string | undefined

  constructor(
    plan: MountPlan,
    parts: {
      readonly files: PublishedFiles
      readonly entries: Entries
      readonly hooks: HookRunner
    },
  ) {
    this.#plan = plan
    this.#parts = parts
  }

  /** A new set is being dealt with. */
  begin(set: { readonly sequence: number; readonly version: string }): void {
    this.#set = set
    this.#sent = undefined
  }

  /** The stream is gone, and with it the set. */
  reset(): void {
    this.#set = undefined
    this.#sent = undefined
  }

  /** Sends the outcome, if there is one and it is news. A broken connection is told elsewhere. */
  async send(session: BrokerSession | undefined): Promise<void> {
    const set = this.#set
    if (set === undefined || session === undefined) return
    const { files, entries, hooks } = this.#parts
    const outcome = outcomeOf(this.#plan, { files, entries, hookFailing: hooks.failing })
    if (outcome === undefined) return
    const told = `${outcome.outcome} ${outcome.secret}`
    if (told === this.#sent) return
    this.#sent = told
    try {
      await session.send({ kind: 'acknowledgement', ...set, ...outcome })
    } catch (error) {
      if (!isLatchkeyError(error)) throw error
    }
  }
}
