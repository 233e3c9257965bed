import type { Clock } from '../base/clock.ts'
import { createSemaphore } from '../base/semaphore.ts'
import type { Account, Authorizer, PermissionScope } from './identity.ts'
import { Permission, type PermissionView } from './permission.ts'

/** A permission that somebody holds on to; disposing of it lets it go. */
export interface HeldPermission extends Disposable {
  readonly view: PermissionView
  /** As {@link Permission.askedAtMs}. */
  readonly askedAtMs: number
  staleMs(): number
  /** As {@link Permission.demand}. */
  demand(account: Account, sinceMs: number): boolean
  /** As {@link Permission.covers}. */
  covers(atMs: number): boolean
}

/** What {@link Permissions} needs from outside. */
export interface PermissionsDeps {
  readonly authorizer: Authorizer
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly signal: AbortSignal
  readonly onDecision: (
    decision: 'allowed' | 'denied' | 'revoked',
    about: { readonly account: Account; readonly secret: string },
  ) => void
  /** A question was answered, or not: for metrics. */
  readonly onAsked: (result: 'allowed' | 'denied' | 'unavailable') => void
}

interface Entry {
  readonly permission: Permission
  readonly account: Account
  readonly stop: AbortController
  readonly listeners: Set<() => void>
}

/**
 * Facts about one token, not about the account. They are passed on, but two pods of one account
 * share an answer: it is the account that is granted a secret.
 */
const tokenFacts = new Set(
  ['pod-name', 'pod-uid', 'node-name', 'node-uid', 'credential-id'].map(
    (name) => `authentication.kubernetes.io/${name}`,
  ),
)

/** What makes two accounts the same to an authorizer. */
export function accountKey({ namespace, name, user }: Account): string {
  const extra = Object.entries(user.extra)
    .filter(([field]) => !tokenFacts.has(field))
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([namespace, name, user.username, user.uid, user.groups, extra])
}

/** One question per account and secret, however many pods want to know. */
export class Permissions {
  readonly #deps: PermissionsDeps
  readonly #entries = new Map<string, Entry>()
  readonly #semaphore = createSemaphore({ concurrent: 16, waiting: Infinity })

  constructor(deps: PermissionsDeps) {
    this.#deps = deps
    deps.authorizer.onChange((scope) => {
      this.#disturb(scope)
    }, deps.signal)
  }

  /** Permissions that are held at the moment. */
  get size(): number {
    return this.#entries.size
  }

  /** Holds a permission. `listener` is called after every answer, never during the call. */
  hold(account: Account, secret: string, listener: () => void): HeldPermission {
    const key = `${accountKey(account)} ${secret}`
    const entry = this.#entries.get(key) ?? this.#create(account, secret)
    this.#entries.set(key, entry)
    // A function of its own for each holder, so that two with the same listener are two.
    const call = (): void => {
      listener()
    }
    entry.listeners.add(call)
    const { permission } = entry
    return {
      get view() {
        return permission.view
      },
      get askedAtMs() {
        return permission.askedAtMs
      },
      staleMs: () => permission.staleMs(),
      demand: (newcomer, sinceMs) => permission.demand(newcomer, sinceMs),
      covers: (atMs) => permission.covers(atMs),
      [Symbol.dispose]: () => {
        entry.listeners.delete(call)
        if (entry.listeners.size > 0 || this.#entries.get(key) !== entry) return
        this.#entries.delete(key)
        entry.stop.abort()
      },
    }
  }

  #create(account: Account, secret: string): Entry {
    const { authorizer, clock, random, onAsked, onDecision } = this.#deps
    const stop = new AbortController()
    const signal = AbortSignal.any([stop.signal, this.#deps.signal])
    const listeners = new Set<() => void>()
    const ask = async (as: Account): Promise<boolean> => {
      try {
        const allowed = await this.#semaphore.run(
          () => authorizer.mayMount(as, secret, signal),
          signal,
          as.namespace,
        )
        onAsked(allowed ? 'allowed' : 'denied')
        return allowed
      } catch (error) {
        if (!signal.aborted) onAsked('unavailable')
        throw error
      }
    }
    const permission = new Permission(account, {
      ask,
      clock,
      random,
      signal,
      watchStaleMs: () => authorizer.staleMs(),
      troubledMsAgo: () => authorizer.troubledMsAgo(),
      onAnswer: () => {
        for (const listener of [...listeners]) listener()
      },
      onDecision: (decision) => {
        onDecision(decision, { account, secret })
      },
    })
    return { permission, account, stop, listeners }
  }

  #disturb({ namespace, account, seen }: PermissionScope): void {
    for (const entry of this.#entries.values()) {
      const its = entry.account
      if (namespace !== undefined && namespace !== its.namespace) continue
      if (account !== undefined && account !== its.name) continue
      entry.permission.disturb(seen)
    }
  }
}
