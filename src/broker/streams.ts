import type { Clock } from '../base/clock.ts'
import { LatchkeyError } from '../base/errors.ts'
import { Cohort, cohortKey, type CohortDeps } from './cohort.ts'
import type { Account } from './identity.ts'
import type { RequestedSecret } from './messages.ts'
import type { PodStream } from './stream.ts'

/** Bounds on streams. */
export interface StreamLimits {
  /** Streams in all. */
  readonly maxStreams: number
  /** Streams of one pod: its own, one that is being replaced, and one that raises an alert. */
  readonly maxStreamsPerPod: number
}

/** How long two streams of a pod may overlap before that is told of, in milliseconds. */
const overlapMs = 2_000

/** All streams of this broker, by pod and by cohort. */
export class Streams {
  readonly #limits: StreamLimits
  readonly #deps: CohortDeps & { readonly clock: Clock }
  readonly #byPod = new Map<string, Set<PodStream>>()
  readonly #cohorts = new Map<string, Cohort>()
  readonly #alerted = new WeakSet<PodStream>()
  #size = 0

  constructor(limits: StreamLimits, deps: CohortDeps & { readonly clock: Clock }) {
    this.#limits = limits
    this.#deps = deps
  }

  get size(): number {
    return this.#size
  }

  get cohorts(): number {
    return this.#cohorts.size
  }

  *[Symbol.iterator](): Generator<PodStream> {
    for (const streams of this.#byPod.values()) yield* streams
  }

  /**
   * The cohort of such pods, made if there is none yet. Whoever asks joins it at once, lest it ends
   * with the last of the others.
   */
  cohort(account: Account, references: readonly RequestedSecret[]): Cohort {
    const key = cohortKey(account, references)
    const cohort = this.#cohorts.get(key) ?? new Cohort(account, references, this.#deps)
    this.#cohorts.set(key, cohort)
    return cohort
  }

  /**
   * Adds a stream in place of its predecessor, the one of the same instance, which is ended. Where a
   * pod has too many, a client at the pod's own address takes the place of one that is elsewhere:
   * whoever has got hold of a token cannot keep the pod out.
   *
   * @throws `ERR_LIMIT`; the stream is then not added.
   */
  add(stream: PodStream): void {
    const { uid } = stream.session.identity.pod
    for (const other of [...(this.#byPod.get(uid) ?? [])]) {
      if (other.instance === stream.instance) other.end('superseded')
    }
    const ofPod = this.#byPod.get(uid) ?? new Set()
    if (this.#size >= this.#limits.maxStreams) {
      throw new LatchkeyError('ERR_LIMIT', 'this broker has too many streams')
    }
    if (ofPod.size >= this.#limits.maxStreamsPerPod && !displace(stream, ofPod)) {
      throw new LatchkeyError('ERR_LIMIT', 'the pod has too many streams')
    }
    ofPod.add(stream)
    this.#byPod.set(uid, ofPod)
    this.#size += 1
  }

  /** Takes a stream away that has ended, also one that was never added. */
  remove(stream: PodStream): void {
    const { uid } = stream.session.identity.pod
    const ofPod = this.#byPod.get(uid)
    if (ofPod?.delete(stream) === true) this.#size -= 1
    if (ofPod?.size === 0) this.#byPod.delete(uid)
    const { cohort } = stream
    const key = cohortKey(cohort.account, cohort.references)
    if (!cohort.remove(stream) || this.#cohorts.get(key) !== cohort) return
    this.#cohorts.delete(key)
    cohort.end()
  }

  /** Streams that overlap with another one of their pod for longer than a restart takes, each once. */
  *overlapping(): Generator<PodStream> {
    const now = this.#deps.clock.monotonicMs()
    for (const ofPod of this.#byPod.values()) {
      if (ofPod.size < 2) continue
      const newest = [...ofPod].at(-1)
      if (newest === undefined || now - newest.openedAtMs < overlapMs) continue
      if (this.#alerted.has(newest)) continue
      this.#alerted.add(newest)
      yield newest
    }
  }
}

/** Ends the oldest stream that comes from elsewhere, for one that comes from the pod itself. */
function displace(stream: PodStream, others: ReadonlySet<PodStream>): boolean {
  if (!stream.session.atPodAddress) return false
  const stranger = [...others].find(({ session }) => !session.atPodAddress)
  stranger?.end('superseded')
  return stranger !== undefined
}
