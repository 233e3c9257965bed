import type { Clock } from '../base/clock.ts'
import type { Versioner } from '../secrets/version.ts'
import type { Catalog, HeldSecret } from './catalog.ts'
import type { Account } from './identity.ts'
import type { RequestedSecret } from './messages.ts'
import { accountKey, type HeldPermission, type Permissions } from './permissions.ts'
import { NewValues } from './new-values.ts'
import { decideItems, prepareSet, sameItem, undecided, type PreparedSet } from './secret-set.ts'

/** A member of a cohort: one stream. */
export interface Member {
  /** Something may have changed: look at {@link Cohort.current} and {@link Cohort.answered}. */
  update(): void
}

/** What cohorts need from outside. */
export interface CohortDeps {
  readonly permissions: Permissions
  readonly catalog: Catalog
  readonly versioner: Versioner
  readonly clock: Clock
  /** Calls back in a later turn of the event loop. */
  readonly defer: (work: () => void) => void
}

/**
 * Between the numbers of two shared sets there is room for sets that one stream gets alone, as while
 * the audit cannot be written.
 */
export const sequenceStep = 16
/** Members told of a change at a time: between two such shares others get their turn. */
const share = 250

/** What makes two pods the same to a broker: same account, same wishes. */
export function cohortKey(account: Account, references: readonly RequestedSecret[]): string {
  return JSON.stringify([accountKey(account), references.map(({ secret, keys }) => [secret, keys])])
}

/**
 * The streams that get the very same sets: the pods of one Deployment, as a rule. A set is decided
 * and encoded once for all of them.
 */
export class Cohort {
  readonly account: Account
  readonly references: readonly RequestedSecret[]
  readonly #deps: CohortDeps
  readonly #members = new Set<Member>()
  readonly #permissions: readonly HeldPermission[]
  /** What may be mounted: of what may not, nothing is ever asked for. */
  readonly #secrets: (HeldSecret | undefined)[]
  readonly #changed: () => void
  readonly #newValues: NewValues
  #current: PreparedSet | undefined
  #sequence = 0
  #scheduled = false
  #ended = false

  constructor(account: Account, references: readonly RequestedSecret[], deps: CohortDeps) {
    this.account = account
    this.references = references
    this.#deps = deps
    this.#changed = () => {
      this.#schedule()
    }
    this.#secrets = references.map(() => undefined)
    this.#newValues = new NewValues(references.length)
    this.#permissions = references.map(({ secret }) =>
      deps.permissions.hold(account, secret, this.#changed),
    )
    this.#schedule()
  }

  /** The newest set; `undefined` before the first. Valid until the next turn of the event loop. */
  get current(): PreparedSet | undefined {
    return this.#current
  }

  /**
   * Whether something was heard, an answer above all, that the newest set does not know of yet. All
   * members are told when it does.
   */
  get outdated(): boolean {
    return this.#scheduled
  }

  get size(): number {
    return this.#members.size
  }

  add(member: Member): void {
    this.#members.add(member)
  }

  /** Lets a member go. Returns whether it was the last one. */
  remove(member: Member): boolean {
    this.#members.delete(member)
    return this.#members.size === 0
  }

  /**
   * Whether all permissions may be used for somebody who came at `sinceMs`: each was asked after
   * that, or has been quiet for long. What is missing is asked now.
   */
  answered(account: Account, sinceMs: number): boolean {
    return this.#permissions
      .map((permission) => permission.demand(account, sinceMs))
      .every((usable) => usable)
  }

  /** Milliseconds since everything in the newest set was last known to be true. */
  staleMs(): number {
    const ages = [...this.#permissions, ...this.#secrets].map((it) => it?.staleMs() ?? 0)
    return Math.max(0, ...ages)
  }

  /** Lets everything go and wipes the set. */
  end(): void {
    this.#ended = true
    for (const held of [...this.#permissions, ...this.#secrets]) held?.[Symbol.dispose]()
    this.#current?.[Symbol.dispose]()
    this.#current = undefined
  }

  /** What changes in one turn of the event loop becomes one set. */
  #schedule(): void {
    if (this.#scheduled || this.#ended) return
    this.#scheduled = true
    this.#deps.defer(() => {
      this.#scheduled = false
      if (!this.#ended) this.#decide()
    })
  }

  /** Follows what may be mounted, and lets go of what may not any more. */
  #follow(): void {
    for (const [index, { secret }] of this.references.entries()) {
      const decision = this.#permissions[index]?.view.decision
      const held = this.#secrets[index]
      if (decision === 'allowed' && held === undefined) {
        this.#secrets[index] = this.#deps.catalog.hold(
          this.account.namespace,
          secret,
          this.#changed,
        )
      } else if (decision === 'denied' && held !== undefined) {
        held[Symbol.dispose]()
        this.#secrets[index] = undefined
      }
    }
  }

  #decide(): void {
    const { versioner, clock } = this.#deps
    this.#follow()
    const decided = decideItems(
      this.references.map((requested, index) => ({
        requested,
        permission: this.#permissions[index]?.view ?? { decision: 'unknown' },
        configured: this.#secrets[index]?.configured ?? false,
        observation: this.#secrets[index]?.current(),
      })),
      { namespace: this.account.namespace, versioner },
    )
    const former = this.#current
    const now = clock.monotonicMs()
    const waits = decided.map((item, index) =>
      this.#newValues.wait(index, item, {
        now,
        covers: (atMs) => this.#permissions[index]?.covers(atMs) ?? false,
      }),
    )
    const items = decided.map((item, index) =>
      waits[index] === true ? undecided(item, 'authorization') : item,
    )
    // Another reason is no news for a client, but for whoever reads why its pod waits.
    const same =
      former !== undefined &&
      items.every((item, index) => {
        const before = former.items[index]
        return waits[index] === true || (sameItem(before, item) && before?.reason === item.reason)
      })
    if (!same) {
      this.#sequence += sequenceStep
      this.#current = prepareSet(items, { sequence: this.#sequence, versioner })
      former?.[Symbol.dispose]()
    }
    // Also without a new set: somebody may have waited for the answer that there is none.
    this.#tell([...this.#members])
  }

  #tell(members: readonly Member[]): void {
    for (const member of members.slice(0, share)) if (this.#members.has(member)) member.update()
    const rest = members.slice(share)
    if (rest.length === 0) return
    this.#deps.defer(() => {
      this.#tell(rest)
    })
  }
}
