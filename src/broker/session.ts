import type { Clock } from '../base/clock.ts'
import { isLatchkeyError, LatchkeyError } from '../base/errors.ts'
import { SecretBytes } from '../base/secret.ts'
import type { Authenticator, FollowedPod, Identity, PodDirectory, PodFacts } from './identity.ts'
import { checkAddress, checkPod, type PodRules } from './pod-check.ts'

/** What a session is checked against. */
export interface SessionRules extends PodRules {
  /** What to do about a peer whose address is not the pod's. */
  readonly bindPodIp: 'off' | 'warn' | 'enforce'
}

/** What a session needs from outside. */
export interface SessionDeps {
  readonly authenticator: Authenticator
  readonly pods: PodDirectory
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly rules: SessionRules
  readonly signal: AbortSignal
}

/** What a session tells its stream. */
export interface SessionEvents {
  /** The session must end. */
  readonly ended: (error: unknown) => void
  readonly refreshed: () => void
  /** A newer token was refused; the former one stays in force. */
  readonly refreshRefused: (error: unknown) => void
  /** The peer's address is not the pod's, and that is only warned of. */
  readonly otherAddress: (identity: Identity) => void
}

/** Who asks, from where, and how they were started. */
export interface SessionClaim {
  readonly peer: string
  readonly planDigest: string
}

const reviewMs = { min: 50_000, max: 60_000 } as const
/** While reviews cannot be made, or the clock and the API server disagree about the token's end. */
const retryMs = 10_000
/** Newer tokens of one stream are reviewed no faster than this. */
const refreshApartMs = 1_000

/**
 * Whose a stream is, reviewed again and again: the token every minute, the Pod whenever it changes.
 */
export class Session {
  readonly #deps: SessionDeps
  readonly #events: SessionEvents
  readonly #claim: SessionClaim
  readonly #followed: FollowedPod
  /** The Pod as last seen or read: a watch that was there before it tells nothing until it changes. */
  #facts: PodFacts | 'gone' | undefined
  #identity: Identity
  #token: SecretBytes
  #newerToken: SecretBytes | undefined
  #reviewAtMs: number
  #reviewedAtMs: number
  #attemptedAtMs: number
  #reviewing = false
  #opened = false
  #ended = false
  #warned = false

  private constructor(
    opened: {
      readonly identity: Identity
      readonly token: SecretBytes
      readonly claim: SessionClaim
    },
    options: { readonly deps: SessionDeps; readonly events: SessionEvents },
  ) {
    const { deps, events } = options
    this.#deps = deps
    this.#events = events
    this.#claim = opened.claim
    this.#identity = opened.identity
    this.#token = opened.token
    this.#reviewedAtMs = this.#attemptedAtMs = deps.clock.monotonicMs()
    this.#reviewAtMs = this.#reviewedAtMs + this.#untilReview()
    this.#followed = deps.pods.follow(this.podKey, () => {
      this.#podChanged()
    })
  }

  /**
   * Opens a session: reviews the token, then compares the live Pod. `token` stays the caller's.
   *
   * @throws `ERR_TOKEN_REFUSED`, `ERR_REVIEW_UNAVAILABLE`, `ERR_POD_*`, `ERR_PEER_ADDRESS`.
   */
  static async open(
    token: Uint8Array,
    claim: SessionClaim,
    options: {
      readonly deps: SessionDeps
      readonly events: SessionEvents
      /** Told who it is as soon as that is known, also when the session is refused afterwards. */
      readonly onIdentity: (identity: Identity) => void
      /** Aborted when nobody waits for the session any more. */
      readonly signal: AbortSignal
    },
  ): Promise<Session> {
    const { deps, signal } = options
    const identity = await deps.authenticator.reviewPod(token, signal)
    options.onIdentity(identity)
    const session = new Session({ identity, token: SecretBytes.copyOf(token), claim }, options)
    try {
      session.#check(await deps.pods.read(session.podKey, signal))
      signal.throwIfAborted()
      session.#opened = true
      // What changed while the Pod was read.
      const now = session.#followed.current()
      if (now !== undefined) session.#check(now)
      return session
    } catch (error) {
      session.end()
      throw error
    }
  }

  get identity(): Identity {
    return this.#identity
  }

  get podKey(): { readonly namespace: string; readonly name: string; readonly uid: string } {
    return { namespace: this.#identity.account.namespace, ...this.#identity.pod }
  }

  /** Whether the peer is at the address that the live Pod has. */
  get atPodAddress(): boolean {
    const facts = this.#facts
    if (facts === undefined || facts === 'gone') return false
    return checkAddress(facts, this.#claim.peer) === 'same'
  }

  /** Milliseconds since token and Pod were last known to be good, beyond what is usual between reviews. */
  staleMs(): number {
    const age = this.#deps.clock.monotonicMs() - this.#reviewedAtMs
    return age > reviewMs.max + retryMs ? age : 0
  }

  /** The client has a newer token; only the newest one waits for its review. */
  refresh(token: Uint8Array): void {
    this.#newerToken?.[Symbol.dispose]()
    this.#newerToken = SecretBytes.copyOf(token)
    this.#reviewAtMs = this.#attemptedAtMs + refreshApartMs
    this.tick()
  }

  /** Does what is due; called about once a second. */
  tick(): void {
    if (this.#ended || this.#reviewing) return
    const now = this.#deps.clock.monotonicMs()
    const doubtful = this.#isExpired() && now - this.#attemptedAtMs >= retryMs
    if (now < this.#reviewAtMs && !doubtful) return
    this.#reviewing = true
    void this.#review().finally(() => {
      this.#reviewing = false
    })
  }

  end(): void {
    this.#ended = true
    this.#token[Symbol.dispose]()
    this.#newerToken?.[Symbol.dispose]()
    this.#newerToken = undefined
    this.#followed[Symbol.dispose]()
  }

  async #review(): Promise<void> {
    const { authenticator, clock, signal } = this.#deps
    const newer = this.#newerToken
    this.#newerToken = undefined
    const token = newer ?? this.#token
    this.#attemptedAtMs = clock.monotonicMs()
    // If nothing is heard, try again soon; success puts it off by a minute.
    this.#reviewAtMs = this.#attemptedAtMs + retryMs
    try {
      const identity = await authenticator.reviewPod(token.expose(), signal)
      if (this.#isEnded()) return
      this.#accept(identity, newer)
      await this.#reviewPod()
      this.#reviewedAtMs = clock.monotonicMs()
      this.#reviewAtMs = this.#reviewedAtMs + this.#untilReview()
    } catch (error) {
      if (this.#isEnded()) return
      this.#refused(error, newer)
    } finally {
      if (newer !== this.#token) newer?.[Symbol.dispose]()
    }
  }

  #accept(identity: Identity, newer: SecretBytes | undefined): void {
    if (!isSame(identity, this.#identity)) {
      throw new LatchkeyError('ERR_TOKEN_REFUSED', 'the token is another pod’s, or account’s')
    }
    this.#identity = identity
    if (newer === undefined) return
    this.#token[Symbol.dispose]()
    this.#token = newer
    this.#events.refreshed()
  }

  /** While the watch is live it tells of every change; otherwise the Pod is asked for. */
  async #reviewPod(): Promise<void> {
    const { pods, signal } = this.#deps
    if (pods.staleMs(this.podKey.namespace) === 0) return
    const facts = await pods.read(this.podKey, signal)
    if (!this.#isEnded()) this.#check(facts)
  }

  #refused(error: unknown, newer: SecretBytes | undefined): void {
    if (isLatchkeyError(error, 'ERR_REVIEW_UNAVAILABLE')) {
      // Nobody can tell whether the token is still good; by its own words it is not.
      if (this.#isExpired() && newer === undefined) this.#events.ended(expired(error))
      else if (newer !== undefined && newer !== this.#token) this.#newerToken ??= newer.clone()
      return
    }
    if (newer !== undefined && isLatchkeyError(error, 'ERR_TOKEN_REFUSED')) {
      this.#events.refreshRefused(error)
      return
    }
    const late = this.#isExpired() && isLatchkeyError(error, 'ERR_TOKEN_REFUSED')
    this.#events.ended(late ? expired(error) : error)
  }

  #podChanged(): void {
    if (this.#ended || !this.#opened) return
    const facts = this.#followed.current()
    if (facts === undefined) return
    try {
      this.#check(facts)
    } catch (error) {
      this.#events.ended(error)
    }
  }

  #check(facts: PodFacts | 'gone' | undefined): void {
    const { rules } = this.#deps
    this.#facts = facts
    checkPod(this.#identity, facts, { rules, planDigest: this.#claim.planDigest })
    if (facts === undefined || facts === 'gone' || rules.bindPodIp === 'off') return
    const address = checkAddress(facts, this.#claim.peer)
    if (address === 'same') return
    if (rules.bindPodIp === 'warn') {
      if (address === 'different' && !this.#warned) this.#events.otherAddress(this.#identity)
      this.#warned ||= address === 'different'
      return
    }
    if (address === 'unknown') {
      if (this.#opened) return
      // The kubelet reports the address a moment after the pod's first container has started.
      throw new LatchkeyError('ERR_REVIEW_UNAVAILABLE', 'the pod has no address yet')
    }
    throw new LatchkeyError('ERR_PEER_ADDRESS', 'the connection does not come from the pod')
  }

  #isExpired(): boolean {
    return this.#deps.clock.now() >= this.#identity.expiresAtMs
  }

  #isEnded(): boolean {
    return this.#ended
  }

  #untilReview(): number {
    return reviewMs.min + (reviewMs.max - reviewMs.min) * this.#deps.random()
  }
}

/**
 * Whether two tokens speak for the same pod and account. An account that was deleted and made again
 * is another one, though its name is the same: permissions were asked about the former.
 */
function isSame(one: Identity, other: Identity): boolean {
  const textOf = ({ pod, account: { namespace, name, user } }: Identity): string =>
    JSON.stringify([pod.uid, namespace, name, user.username, user.uid, user.groups])
  return textOf(one) === textOf(other)
}

function expired(cause: unknown): LatchkeyError {
  return new LatchkeyError('ERR_TOKEN_EXPIRED', 'the token has expired, and no newer one came', {
    cause,
  })
}
