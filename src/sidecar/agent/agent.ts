import { Doorbell } from '../../base/doorbell.ts'
import { isLatchkeyError, type LatchkeyError } from '../../base/errors.ts'
import type { MountPlan } from '../../injection/plan.ts'
import { planDigest } from '../../injection/print.ts'
import { runTasks } from '../../net/run-tasks.ts'
import type { Goodbye } from '../broker/messages.ts'
import type { BrokerSession, SessionMessage } from '../broker/session.ts'
import { TrustStore } from '../broker/trust.ts'
import { hookOutcomes } from '../hooks/hook-outcomes.ts'
import { HookRunner } from '../hooks/hook-runner.ts'
import { Journal } from '../journal.ts'
import { Acknowledger } from './acknowledger.ts'
import { keepConnected } from './connection.ts'
import { Denials } from './denials.ts'
import type { AgentEnd } from './end.ts'
import { Entries } from './entries.ts'
import { FormerPlaces } from './former-places.ts'
import { Freshness } from './freshness.ts'
import { endAfterGoodbye, endAfterSet } from './once.ts'
import type { AgentOptions } from './options.ts'
import { PublishedFiles } from './published-files.ts'
import { referencesOf } from './references.ts'
import { Staleness } from './staleness.ts'
import { openTargets } from './targets.ts'
import { Tidying } from './tidying.ts'

/** Keeps the files of one pod as its plan and a broker say. */
export class Agent {
  readonly #plan: MountPlan
  readonly #options: AgentOptions
  readonly #journal: Journal
  readonly #former: FormerPlaces
  readonly #entries: Entries
  readonly #denials: Denials
  readonly #files: PublishedFiles
  readonly #freshness: Freshness
  readonly #trust: TrustStore
  readonly #hooks: HookRunner
  readonly #acknowledger: Acknowledger
  readonly #tidying: Tidying
  readonly #upkeep = new Doorbell()
  readonly #over = new AbortController()
  readonly #begun = Promise.withResolvers<undefined>()
  #session: BrokerSession | undefined
  #lastError: LatchkeyError | undefined
  #end: AgentEnd = { kind: 'stopped' }

  /** Reads what an earlier process left in the state directory. Throws `ERR_IO`. */
  constructor(plan: MountPlan, options: AgentOptions) {
    const { state, clock, bootMs, log, metrics, random } = options
    const digest = planDigest(plan)
    this.#plan = plan
    this.#options = options
    const journal = Journal.open(state, digest)
    this.#journal = journal
    this.#former = new FormerPlaces(plan, options)
    this.#entries = new Entries(plan, { log, metrics, denied: journal.state.deniedSince })
    this.#denials = new Denials(plan, { journal, clock, bootMs })
    this.#files = new PublishedFiles({
      ...options,
      targets: openTargets(plan, {
        ...options,
        plan: digest,
        journal,
        notePlace: this.#former.note,
      }),
      entries: this.#entries,
      denials: this.#denials,
    })
    this.#freshness = new Freshness({
      staleness: new Staleness({ directory: state, clock, bootMs }),
      clock,
      published: () => plan.entries.some((_, index) => this.#files.isInPlace(index)),
      maxStaleMs: options.maxStaleMs,
    })
    this.#tidying = new Tidying(options.tidy, clock)
    this.#trust = new TrustStore(state, options.readAuthorities)
    this.#hooks = new HookRunner(plan, {
      journal,
      perform: options.performHook,
      clock,
      random,
      onOutcome: hookOutcomes({ log, metrics }),
      onRound: () => void this.#acknowledger.send(this.#session),
    })
    this.#acknowledger = new Acknowledger(plan, {
      files: this.#files,
      entries: this.#entries,
      hooks: this.#hooks,
    })
  }

  /** Whether every file of the plan was once published, by this process or one before it. */
  get started(): boolean {
    return this.#journal.state.started
  }

  /** Resolves as soon as {@link started} holds; never, when it never does. */
  async untilStarted(): Promise<void> {
    if (!this.started) await this.#begun.promise
  }

  /** Whether every file of the plan is in place, and none older than the operator allows. */
  get ready(): boolean {
    if (this.#options.onStale === 'unready' && this.#freshness.isBeyondLimit) return false
    return this.#plan.entries.every((_, index) => this.#files.isInPlace(index))
  }

  /** Milliseconds since everything that is published was last known to be right; 0 if nothing is. */
  get staleMs(): number {
    return this.#freshness.ms
  }

  /** Brings the gauges up to date, for a scrape. */
  measure(): void {
    const { metrics } = this.#options
    metrics.set('connected', this.#session === undefined ? 0 : 1)
    metrics.set('started', this.started ? 1 : 0)
    metrics.set('ready', this.ready ? 1 : 0)
    metrics.set('stale_seconds', Math.round(this.staleMs / 100) / 10)
    metrics.set('hooks_due', this.#journal.state.pendingHooks.length)
  }

  /** Runs until `signal` is aborted, or until everything is decided when told to run once. */
  async run(signal: AbortSignal): Promise<AgentEnd> {
    const { once, clock, log } = this.#options
    log.info('sidecar.started', { entries: this.#plan.entries.length })
    this.#former.withdraw()
    this.#files.adopt()
    this.#noteStart()
    const all = AbortSignal.any([signal, this.#over.signal])
    const tasks = [
      { name: 'connection', run: (stop: AbortSignal) => this.#keepConnected(stop) },
      { name: 'upkeep', run: (stop: AbortSignal) => this.#keepUp(stop) },
    ]
    if (once === undefined) {
      tasks.push({ name: 'hooks', run: (stop) => this.#hooks.run(stop) })
      tasks.push({ name: 'tidying', run: (stop) => this.#tidying.run(stop) })
    } else {
      tasks.push({
        name: 'deadline',
        run: async (stop) => {
          await clock.sleep(once.timeoutMs, stop)
          this.#finish({ kind: 'unreachable', error: this.#lastError })
        },
      })
    }
    await runTasks(tasks, { signal: all, stopWithinMs: 10_000 })
    log.info('sidecar.stopped', { end: this.#end.kind })
    return this.#end
  }

  async #keepConnected(signal: AbortSignal): Promise<void> {
    const { broker, token, clock, random, instance, client, log, metrics } = this.#options
    const open = {
      kind: 'open',
      references: referencesOf(this.#plan),
      instance,
      planDigest: this.#options.planDigest,
      client,
    } as const
    const options = { broker, open, token, trust: this.#trust, clock, random, signal }
    await keepConnected(options, {
      opened: (session) => {
        this.#session = session
        metrics.count('connections_total', 'outcome="accepted"')
        log.info('broker.connected', { replica: session.accepted.replica })
      },
      message: (message, session) => this.#take(message, session),
      closed: (error) => {
        this.#disconnected(error)
        log.warn('broker.closed', {}, error)
      },
      refused: (goodbye) => {
        metrics.count('connections_total', 'outcome="refused"')
        this.#takeGoodbye(goodbye)
      },
      failed: (error) => {
        metrics.count('connections_total', 'outcome="failed"')
        log.warn('broker.failed', {}, error)
        this.#disconnected(error)
        if (this.#options.once !== undefined && isLatchkeyError(error, 'ERR_TOKEN_INVALID')) {
          this.#finish({ kind: 'failed', error })
        }
      },
      tokenProblem: (error) => {
        log.error('token.failed', {}, error)
      },
    })
  }

  async #take(message: SessionMessage, session: BrokerSession): Promise<void> {
    switch (message.kind) {
      case 'secret-set': {
        const { sequence, version } = message
        this.#options.metrics.count('sets_total')
        this.#freshness.renew()
        this.#entries.take(message)
        this.#settle()
        this.#guarded(() => {
          this.#freshness.confirmBySet()
        })
        this.#acknowledger.begin({ sequence, version })
        await this.#acknowledger.send(session)
        await this.#endIfDecided(session)
        return
      }
      case 'heartbeat':
        // Before the first set of this stream it is about nothing that is published.
        if (message.sequence === 0) return
        this.#guarded(() => {
          this.#freshness.confirm(message.staleMs)
        })
        return
      case 'ca-bundle':
        this.#takeBundle(message.pem, session)
        return
      case 'goodbye':
        this.#takeGoodbye(message)
        return
      case 'unknown':
    }
  }

  /** Makes everything as the entries say, and notes what follows from it. */
  #settle(): void {
    const denied = this.#entries.where((it) => it.kind === 'gone' && it.reason !== 'stale')
    this.#guarded(() => {
      this.#denials.note(denied)
    })
    this.#files.settle()
    this.#noteOpen()
    this.#noteStart()
    this.#hooks.wake()
    this.#upkeep.ring()
    this.#tidying.note()
  }

  /** What the broker cannot tell, or the volume does not take, leaves files as they were. */
  #noteOpen(): void {
    this.#freshness.note(this.#entries.untold.size > 0 || this.#files.problems.length > 0)
  }

  #noteStart(): void {
    if (this.started || !this.#plan.entries.every((_, index) => this.#files.isInPlace(index)))
      return
    this.#guarded(() => {
      this.#journal.update({ started: true })
      this.#options.log.info('pod.started')
      this.#begun.resolve(undefined)
    })
  }

  /** Does what falls due: ends of grace, limits of staleness, repetitions, looks at the files. */
  async #keepUp(signal: AbortSignal): Promise<void> {
    const { clock, verifyEveryMs } = this.#options
    let verifyAt = clock.monotonicMs() + verifyEveryMs
    for (;;) {
      const parts = [this.#files, this.#denials, this.#freshness]
      const due = [verifyAt, ...parts.map((part) => part.nextDue())]
      const next = Math.min(...due.filter((at) => at !== undefined))
      const ms = Math.min(Math.max(next - clock.monotonicMs(), 10), 3_600_000)
      await this.#upkeep.wait({ signal, clock, ms })
      signal.throwIfAborted()
      if (this.#denials.takeExpired()) this.#settle()
      this.#files.tick()
      this.#noteOpen()
      this.#noteStart()
      this.#checkStaleness()
      if (clock.monotonicMs() >= verifyAt) {
        // A new stream brings the whole set, and with it what was lost.
        if (this.#files.verify()) this.#session?.[Symbol.dispose]()
        verifyAt = clock.monotonicMs() + verifyEveryMs
      }
      await this.#acknowledger.send(this.#session)
    }
  }

  #checkStaleness(): void {
    if (!this.#freshness.takePassed()) return
    const { log, onStale } = this.#options
    log.error('stale.limit', { staleMs: Math.round(this.staleMs), onStale })
    if (onStale !== 'remove') return
    this.#entries.expire()
    this.#settle()
  }

  #takeBundle(pem: string, session: BrokerSession): void {
    const { clock, log } = this.#options
    this.#guarded(() => {
      const adoption = this.#trust.adopt(pem, session.chain, clock.now())
      if (adoption === 'adopted') log.info('ca.adopted')
      if (adoption === 'refused') log.error('ca.refused')
    })
  }

  #takeGoodbye(goodbye: Goodbye): void {
    this.#options.log.warn('broker.refused', { reason: goodbye.reason })
    const end = endAfterGoodbye(goodbye)
    if (this.#options.once !== undefined && end !== undefined) this.#finish(end)
  }

  #disconnected(error: unknown): void {
    this.#session = undefined
    this.#acknowledger.reset()
    this.#freshness.disconnect()
    if (isLatchkeyError(error)) this.#lastError = error
  }

  async #endIfDecided(session: BrokerSession): Promise<void> {
    if (this.#options.once === undefined) return
    const end = endAfterSet(this.#plan, { entries: this.#entries, files: this.#files })
    if (end === undefined) return
    await this.#hooks.runDue(this.#over.signal)
    await this.#acknowledger.send(session)
    await session.finish()
    this.#finish(end)
  }

  #finish(end: AgentEnd): void {
    if (this.#over.signal.aborted) return
    this.#end = end
    this.#over.abort()
  }

  /** Keeps a fault of the state directory from stopping what matters more. */
  #guarded(action: () => void): void {
    try {
      action()
    } catch (error) {
      if (!isLatchkeyError(error)) throw error
      this.#options.log.error('state.failed', {}, error)
    }
  }
}
