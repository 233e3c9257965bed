import type { Clock } from '../../base/clock.ts'
import { isLatchkeyError, type LatchkeyError } from '../../base/errors.ts'
import { backoffMs, type Backoff } from '../../base/retry.ts'
import type { Log } from '../../observe/log.ts'
import type { SidecarMetrics } from '../metrics.ts'
import { decide } from './decide.ts'
import type { Denials } from './denials.ts'
import type { Entries } from './entries.ts'
import type { SidecarEvent } from './events.ts'
import type { Applied, Target } from './target.ts'

const retryBackoff: Backoff = { initialMs: 500, maxMs: 30_000, factor: 2 }

/** What it works with. */
export interface PublishedFilesOptions {
  readonly targets: readonly Target[]
  readonly entries: Entries
  readonly denials: Denials
  readonly log: Log<SidecarEvent>
  readonly metrics: SidecarMetrics
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** How long readers may go on using what a publication replaced, in milliseconds. */
  readonly previousKeptMs: number
}

/** What keeps a target from being as it should. */
export interface TargetProblem {
  readonly target: Target
  readonly error: LatchkeyError
}

interface TargetState {
  /** What kept it from changing, and when to try again, by the monotonic clock. */
  readonly problem?: {
    readonly error: LatchkeyError
    readonly attempt: number
    readonly at: number
  }
  /** When to end the grace of its former generation. */
  readonly dropAt?: number
}

/** Keeps the targets of a plan as the entries say, and knows which files are in place. */
export class PublishedFiles {
  readonly #options: PublishedFilesOptions
  readonly #inPlace = new Set<number>()
  readonly #waiting = new Map<Target, readonly number[]>()
  readonly #states = new Map<Target, TargetState>()

  constructor(options: PublishedFilesOptions) {
    this.#options = options
  }

  /** Whether the files of entry `index` are where they should be. */
  isInPlace(index: number): boolean {
    return this.#inPlace.has(index)
  }

  /** Entries whose newer value waits for the pod to start anew. */
  get waiting(): readonly number[] {
    return [...this.#waiting.values()].flat()
  }

  /** What keeps targets from being as they should. */
  get problems(): readonly TargetProblem[] {
    return [...this.#states].flatMap(([target, { problem }]) =>
      problem === undefined ? [] : [{ target, error: problem.error }],
    )
  }

  /** Takes over what an earlier process published. */
  adopt(): void {
    const { targets, log, clock, previousKeptMs } = this.#options
    for (const target of targets) {
      this.#inspect(target, () => target.adopt())
      this.#states.set(target, { dropAt: clock.monotonicMs() + previousKeptMs })
    }
    log.info('files.adopted', { entries: this.#inPlace.size })
  }

  /** Looks whether everything is still there. Returns whether something is lost that was in place. */
  verify(): boolean {
    let lost = false
    for (const target of this.#options.targets) {
      const before = target.entries.filter(({ index }) => this.#inPlace.has(index))
      this.#inspect(target, () => target.verify())
      if (before.every(({ index }) => this.#inPlace.has(index))) continue
      lost = true
      this.#options.log.error('files.lost', { path: target.path })
    }
    return lost
  }

  /** Makes every target as the entries say now. Returns whether readers see anything new. */
  settle(): boolean {
    let published = false
    for (const target of this.#options.targets) {
      published = this.#apply(target) || published
    }
    this.#options.metrics.set('files_waiting_for_restart', this.waiting.length)
    return published
  }

  /** Does what is due: repetitions, and ends of grace. Returns whether readers see anything new. */
  tick(): boolean {
    const now = this.#options.clock.monotonicMs()
    let published = false
    for (const [target, state] of this.#states) {
      if (state.problem !== undefined && state.problem.at <= now) {
        published = this.#apply(target) || published
      } else if (state.dropAt !== undefined && state.dropAt <= now) {
        this.#guarded(target, () => {
          target.dropPrevious()
        })
        const { problem } = state
        this.#states.set(target, problem === undefined ? {} : { problem })
      }
    }
    return published
  }

  /** When {@link PublishedFiles.tick} has something to do next, by the monotonic clock. */
  nextDue(): number | undefined {
    const due = [...this.#states.values()].flatMap(({ problem, dropAt }) => [
      ...(problem === undefined ? [] : [problem.at]),
      ...(dropAt === undefined ? [] : [dropAt]),
    ])
    return due.length === 0 ? undefined : Math.min(...due)
  }

  #inspect(target: Target, inspect: () => ReturnType<Target['verify']>): void {
    const found = this.#guarded(target, inspect)
    const whole = new Set(found?.whole ?? [])
    for (const { index } of target.entries) {
      if (whole.has(index)) this.#inPlace.add(index)
      else this.#inPlace.delete(index)
    }
    if (found?.repaired === true) this.#tellRepair(target)
  }

  #apply(target: Target): boolean {
    const { entries, denials, clock, previousKeptMs } = this.#options
    const decisions = target.entries.map(({ entry, index }) =>
      decide(entry, entries.reading(index), { graceOver: denials.isOver(index) }),
    )
    const applied = target.apply(decisions)
    this.#noteProblem(target, applied)
    if (applied.failure === undefined) {
      for (const { index } of target.entries) entries.forgetFiles(index)
    }
    target.entries.forEach(({ index }, position) => {
      const kind = decisions[position]?.kind
      if (kind === 'remove') this.#inPlace.delete(index)
      const done = !applied.skipped && applied.failure === undefined
      if (kind === 'publish' && done) this.#inPlace.add(index)
    })
    if (!applied.skipped) this.#noteWaiting(target, applied)
    if (applied.repaired) this.#tellRepair(target)
    if (!applied.published) return false
    const state = this.#states.get(target)
    this.#states.set(target, { ...state, dropAt: clock.monotonicMs() + previousKeptMs })
    this.#tellPublication(target)
    return true
  }

  #noteProblem(target: Target, { failure }: Applied): void {
    const { problem, ...rest } = this.#states.get(target) ?? {}
    if (failure === undefined) {
      this.#states.set(target, rest)
      return
    }
    const { clock, random, log, metrics, previousKeptMs } = this.#options
    const attempt = problem?.error.code === failure.code ? problem.attempt + 1 : 0
    const at = clock.monotonicMs() + backoffMs(retryBackoff, attempt, random)
    // It may have failed after readers saw the new set.
    const dropAt = rest.dropAt ?? clock.monotonicMs() + previousKeptMs
    this.#states.set(target, { dropAt, problem: { error: failure, attempt, at } })
    metrics.count('publication_failures_total', `code="${failure.code}"`)
    log.error('files.failed', { path: target.path, attempt }, failure)
  }

  #noteWaiting(target: Target, { waiting }: Applied): void {
    const before = this.#waiting.get(target)?.length ?? 0
    this.#waiting.set(target, waiting)
    if (waiting.length > 0 && before === 0) {
      this.#options.log.warn('files.waiting_for_restart', { path: target.path })
    }
  }

  #tellPublication(target: Target): void {
    const { log, metrics, clock } = this.#options
    metrics.count('publications_total')
    metrics.set('last_publication_timestamp_seconds', Math.round(clock.now() / 1000))
    log.info('files.published', { path: target.path })
  }

  #tellRepair(target: Target): void {
    this.#options.metrics.count('repairs_total')
    this.#options.log.warn('files.repaired', { path: target.path })
  }

  #guarded<T>(target: Target, action: () => T): T | undefined {
    try {
      return action()
    } catch (error) {
      if (!isLatchkeyError(error)) throw error
      this.#options.log.error('files.failed', { path: target.path }, error)
      return undefined
    }
  }
}
