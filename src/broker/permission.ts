import type { Clock } from '../base/clock.ts'
import { Doorbell } from '../base/doorbell.ts'
import { backoffMs } from '../base/retry.ts'
import type { Account, Authorizer } from './identity.ts'

/** What is known of whether an account may mount a secret. */
export type PermissionView =
  | { readonly decision: 'unknown' }
  | { readonly decision: 'denied' }
  /**
   * `trusted` says that the last answer was yes, and not long ago: something new may be handed out.
   * Otherwise what was handed out before stays until a denial is settled.
   */
  | { readonly decision: 'allowed'; readonly trusted: boolean }

/** What one permission needs from outside. */
export interface PermissionDeps {
  /** Asks once. Rejects when there is no answer. */
  readonly ask: (account: Account) => Promise<boolean>
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Milliseconds since changes of permissions were last known to be seen. */
  readonly watchStaleMs: () => number
  readonly troubledMsAgo: Authorizer['troubledMsAgo']
  readonly signal: AbortSignal
  /** The view has changed, or a question was answered. */
  readonly onAnswer: () => void
  /** The decision has changed. */
  readonly onDecision: (decision: 'allowed' | 'denied' | 'revoked') => void
}

/** After an event, when to ask: an API server's authorizer lags behind its own watches. */
const settleMs = 250
const askAfterEventMs = [0, settleMs, 1_000, 5_000] as const
/** No event for this long, and an answer may be used for newcomers. */
const quietMs = 5_500
/** Two answers this far apart make a denial. */
const denialApartMs = 500
/** What was allowed is withdrawn this long after the event that took it away… */
const withdrawMs = 1_500
/** …or later, while events go on, as when a binding is deleted and made again; but not after this. */
const withdrawLatestMs = 1_800
/** How long after an event the authorizer is given to hear of it. */
const authorizerLagMs = 350
/** A no this long after an event, or less, may come of it: the last question after it, and its answer. */
const causeMs = 6_500
/**
 * A no that no event explains has to hold this long. An API server that has just begun says no to
 * everything until it has read all bindings, and a watch that begins anew does not tell what it missed.
 */
const unexplainedMs = 15_000
/** How often to ask again while a no has to hold. */
const lookAgainMs = 2_000
/** How often to ask without any event, give or take a fifth. */
const periodMs = 30_000
/** An answer older than this is trusted no more. */
const trustMs = 90_000
const rasterMs = 50
const retryBackoff = { initialMs: 250, maxMs: 5_000, factor: 2 }

/**
 * Whether one account may mount one secret, for as long as somebody wants to know.
 *
 * @remarks
 * Yes takes effect at once. No takes effect after two answers half a second apart, and, where yes
 * was in effect, a second and a half after the event that caused it, so that a binding which is
 * deleted and made again takes nothing away, while one that stays deleted does within two seconds.
 * No answer changes nothing.
 */
export class Permission {
  readonly #deps: PermissionDeps
  readonly #bell = new Doorbell()
  #account: Account
  #decision: 'allowed' | 'denied' | undefined
  #firstDeniedAtMs: number | undefined
  #confirmedAtMs = -Infinity
  #askedAtMs = -Infinity
  #askingSinceMs = -Infinity
  #failures = 0
  /** Changes that were seen, and when one was last seen or may have been missed. */
  #events: number[] = []
  #disturbedAtMs = -Infinity
  #due: number[]

  constructor(account: Account, deps: PermissionDeps) {
    this.#account = account
    this.#deps = deps
    this.#due = [deps.clock.monotonicMs()]
    void this.#run()
  }

  get view(): PermissionView {
    if (this.#decision === undefined) return { decision: 'unknown' }
    if (this.#decision === 'denied') return { decision: 'denied' }
    const age = this.#deps.clock.monotonicMs() - this.#confirmedAtMs
    return {
      decision: 'allowed',
      trusted: this.#firstDeniedAtMs === undefined && age <= trustMs,
    }
  }

  /** When the question was last asked that has been answered; `-Infinity` before the first. */
  get askedAtMs(): number {
    return this.#askedAtMs
  }

  /** Milliseconds since the decision was last known to be right. */
  staleMs(): number {
    const live = this.#failures === 0 && this.#firstDeniedAtMs === undefined
    if (this.#decision === undefined) return Infinity
    const age = this.#deps.clock.monotonicMs() - this.#confirmedAtMs
    return live ? Math.min(age, this.#deps.watchStaleMs()) : age
  }

  /**
   * Somebody new has wanted to know since `sinceMs`. Returns whether what is known may be used for
   * them; if not, an answer to a question that is asked after that will tell. `account` is the
   * newcomer's, so that the question is asked in their words.
   */
  demand(account: Account, sinceMs: number): boolean {
    this.#account = account
    return this.#demand(sinceMs)
  }

  #demand(sinceMs: number): boolean {
    if (this.#askedAtMs >= sinceMs || this.#usable()) return true
    // After a failure the next attempt is planned already.
    if (this.#askingSinceMs < sinceMs && this.#failures === 0)
      this.#askAt(this.#deps.clock.monotonicMs())
    return false
  }

  /**
   * Whether a value that came at `atMs` may be handed to those who have others: the answer is of
   * later, or all is quiet, and it takes account of every change that was seen before, however far
   * the authorizer lags. If not, another answer will tell, which is asked for now if need be.
   */
  covers(atMs: number): boolean {
    const event = this.#events.findLast((at) => at <= atMs) ?? -Infinity
    return this.#demand(atMs) && this.#askedAtMs >= event + settleMs
  }

  /** Whether an answer given to somebody else earlier may be used: all is quiet, and watched. */
  #usable(): boolean {
    const now = this.#deps.clock.monotonicMs()
    return (
      this.#decision !== undefined &&
      this.#firstDeniedAtMs === undefined &&
      this.#failures === 0 &&
      now - this.#confirmedAtMs <= 2 * periodMs &&
      now - this.#disturbedAtMs > quietMs &&
      this.#deps.watchStaleMs() === 0
    )
  }

  /** Permissions that may concern this one have changed; `seen` as {@link PermissionScope} has it. */
  disturb(seen: boolean): void {
    const now = this.#deps.clock.monotonicMs()
    this.#disturbedAtMs = now
    if (seen) this.#events = [...this.#events.slice(-31), now]
    for (const after of askAfterEventMs) this.#askAt(now + after)
  }

  /** Plans a question. Times are rounded up to a raster, so that many reasons to ask become one. */
  #askAt(atMs: number): void {
    const now = this.#deps.clock.monotonicMs()
    const slot =
      atMs <= now
        ? Math.max(now, this.#askingSinceMs + rasterMs)
        : Math.ceil(atMs / rasterMs) * rasterMs
    if (this.#due.some((due) => due >= slot && due <= slot + rasterMs)) return
    this.#due = [...this.#due, slot].sort((a, b) => a - b)
    this.#bell.ring()
  }

  async #run(): Promise<void> {
    const { clock, signal, random } = this.#deps
    const ended = (): boolean => signal.aborted
    for (let periodicAtMs = Infinity; !ended();) {
      const now = clock.monotonicMs()
      const next = Math.min(this.#due[0] ?? Infinity, periodicAtMs)
      if (next > now) {
        await this.#bell.wait({ signal, clock, ms: next - now })
        continue
      }
      this.#due = this.#due.filter((due) => due > now)
      await this.#ask()
      periodicAtMs = clock.monotonicMs() + periodMs * (0.8 + 0.4 * random())
    }
  }

  async #ask(): Promise<void> {
    const { clock, signal, random, ask, onAnswer } = this.#deps
    const askedAtMs = clock.monotonicMs()
    this.#askingSinceMs = askedAtMs
    try {
      const allowed = await ask(this.#account)
      if (signal.aborted) return
      this.#failures = 0
      if (allowed) this.#allow()
      else this.#deny(askedAtMs)
      this.#askedAtMs = askedAtMs
    } catch {
      if (signal.aborted) return
      const wait = backoffMs(retryBackoff, this.#failures, random)
      this.#failures += 1
      this.#askAt(clock.monotonicMs() + wait)
    }
    onAnswer()
  }

  #allow(): void {
    this.#firstDeniedAtMs = undefined
    this.#confirmedAtMs = this.#deps.clock.monotonicMs()
    if (this.#decision === 'allowed') return
    this.#decision = 'allowed'
    this.#deps.onDecision('allowed')
  }

  #deny(askedAtMs: number): void {
    const now = this.#deps.clock.monotonicMs()
    if (this.#decision === 'denied') {
      this.#confirmedAtMs = now
      return
    }
    this.#firstDeniedAtMs ??= now
    const apart = this.#firstDeniedAtMs + denialApartMs
    const from =
      this.#decision === undefined
        ? this.#denyAtMs(apart)
        : this.#withdrawAtMs(this.#firstDeniedAtMs)
    if (askedAtMs < apart || now < from) {
      this.#askAt(Math.max(apart, Math.min(from, now + lookAgainMs)))
      return
    }
    const revoked = this.#decision === 'allowed'
    this.#firstDeniedAtMs = undefined
    this.#confirmedAtMs = now
    this.#decision = 'denied'
    this.#deps.onDecision(revoked ? 'revoked' : 'denied')
  }

  /** When what was never allowed is denied. */
  #denyAtMs(apartMs: number): number {
    return this.#isTroubled() ? apartMs - denialApartMs + unexplainedMs : apartMs
  }

  /** Whether the one who answers may just have begun: then no event explains a no. */
  #isTroubled(): boolean {
    return this.#deps.troubledMsAgo() < unexplainedMs
  }

  #withdrawAtMs(firstDeniedAtMs: number): number {
    if (this.#isTroubled()) return firstDeniedAtMs + unexplainedMs
    // An answer may be ahead of the event.
    const cause =
      this.#events.findLast((at) => at <= firstDeniedAtMs && at > firstDeniedAtMs - causeMs) ??
      (this.#events.some((at) => at > firstDeniedAtMs) ? firstDeniedAtMs : undefined)
    if (cause === undefined) return firstDeniedAtMs + unexplainedMs
    const latest = this.#events.at(-1) ?? cause
    return Math.min(
      Math.max(cause + withdrawMs, latest + authorizerLagMs),
      cause + withdrawLatestMs,
    )
  }
}
