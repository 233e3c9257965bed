import { LatchkeyError } from '../base/errors.ts'
import type { AuditEvent, AuditSink } from './audit.ts'
import { AuditChain, type AuditChainDeps, type ChainRecord } from './audit-chain.ts'
import type { AuditFile } from './audit-file.ts'
import type { AuditHead, CheckpointEnd } from './audit-record.ts'

/** What an audit log needs from outside. */
export interface AuditLogDeps extends Omit<AuditChainDeps, 'limits'> {
  /** A checkpoint is in the file, and synced: its head is to be kept elsewhere. */
  readonly onCheckpoint: (head: AuditHead) => void
  /** Writing has failed, or has succeeded again. */
  readonly onHealth: (problem: unknown) => void
  readonly limits?: Partial<AuditLimits>
}

/** Bounds and intervals. */
export interface AuditLimits {
  /** Events that may wait to be written. */
  readonly maxQueued: number
  /** Lines between checkpoints, and milliseconds: see {@link AuditChainDeps.limits}. */
  readonly checkpointLines: number
  readonly checkpointMs: number
  /** Milliseconds between syncs, and between attempts to write while that fails. */
  readonly tickMs: number
  /** Milliseconds until a file that does not answer, as on a disk that hangs, counts as failing. */
  readonly stalledMs: number
}

const defaults: AuditLimits = {
  maxQueued: 10_000,
  checkpointLines: 1_000,
  checkpointMs: 60_000,
  tickMs: 1_000,
  stalledMs: 5_000,
}
/** Lines composed at a time, so that a large fan-out does not hold up the event loop. */
const batchLines = 256

interface Waiting {
  readonly event: AuditEvent
  /** Whether the event must be recorded now or not happen at all. */
  readonly gate:
    { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined
}

/**
 * Begins a chain in an audit file: see AUDIT.md beside this file.
 *
 * @throws `ERR_AUDIT_UNAVAILABLE` when not even the first line can be written.
 */
export async function openAuditLog(deps: AuditLogDeps): Promise<AuditSink> {
  const log = new AuditLog(await deps.open(), deps)
  await log.begin()
  return log
}

class AuditLog implements AuditSink {
  healthy = true
  readonly #deps: AuditLogDeps
  readonly #limits: AuditLimits
  readonly #stop = new AbortController()
  readonly #chain: AuditChain
  #queue: Waiting[] = []
  /** What is being written. */
  #batch: readonly Waiting[] = []
  #lost = 0
  #flushing = false
  /** Everything that touches the file happens in this order, one at a time. */
  #turn: Promise<void> = Promise.resolve()
  #turnSinceMs: number | undefined
  #ticking: Promise<void> | undefined

  constructor(file: AuditFile, deps: AuditLogDeps) {
    this.#deps = deps
    this.#limits = { ...defaults, ...deps.limits }
    this.#chain = new AuditChain(file, { ...deps, limits: this.#limits })
  }

  async begin(): Promise<void> {
    await this.#chain.begin()
    this.#ticking = this.#tick()
    void this.#watchOver()
  }

  admit(event: AuditEvent): Promise<void> {
    if (!this.healthy) return Promise.reject(unavailable('the audit file cannot be written now'))
    return new Promise((resolve, reject) => {
      this.#enqueue({ event, gate: { resolve, reject } })
    })
  }

  note(event: AuditEvent): void {
    this.#enqueue({ event, gate: undefined })
  }

  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    const written = this.#exclusively(async () => {
      await this.#flush()
      await this.#checkpoint('final')
    })
    const closed = Promise.all([this.#ticking, written]).then(() => this.#chain.close())
    const patience = new AbortController()
    const { clock } = this.#deps
    await Promise.race([
      closed,
      clock.sleep(2 * this.#limits.stalledMs, patience.signal).catch(() => undefined),
    ])
    patience.abort()
    this.#rejectGated(unavailable('the audit log was closed'))
  }

  #enqueue(waiting: Waiting): void {
    const closed = this.#stop.signal.aborted
    if (closed || this.#queue.length + this.#batch.length >= this.#limits.maxQueued) {
      this.#lost += 1
      waiting.gate?.reject(
        unavailable(closed ? 'the audit log is closed' : 'the audit queue is full'),
      )
      return
    }
    this.#queue.push(waiting)
    if (this.#flushing || !this.healthy) return
    this.#flushing = true
    void this.#exclusively(async () => {
      this.#flushing = false
      await this.#flush()
    })
  }

  #exclusively(work: () => Promise<void>): Promise<void> {
    const turn = async (): Promise<void> => {
      this.#turnSinceMs = this.#deps.clock.monotonicMs()
      try {
        await work()
      } catch (error) {
        this.#fail(error)
      } finally {
        this.#turnSinceMs = undefined
      }
    }
    this.#turn = this.#turn.then(turn)
    return this.#turn
  }

  /** Sees to it that nobody waits for a file that does not answer: withdrawals must go on. */
  async #watchOver(): Promise<void> {
    const { clock } = this.#deps
    for (;;) {
      await clock.sleep(this.#limits.tickMs, this.#stop.signal).catch(() => undefined)
      if (this.#stop.signal.aborted) return
      const busyMs = clock.monotonicMs() - (this.#turnSinceMs ?? Infinity)
      if (this.healthy && busyMs >= this.#limits.stalledMs) {
        this.#fail(unavailable('the audit file does not answer'))
      }
    }
  }

  /** Writes what waits, batch by batch. */
  async #flush(): Promise<void> {
    while (this.#queue.length > 0 || this.#lost > 0) {
      const batch = (this.#batch = this.#queue.slice(0, batchLines))
      this.#queue = this.#queue.slice(batch.length)
      const lost = this.#lost
      const lines: ChainRecord[] = batch.map(({ event: { event, ...fields } }) => ({
        event,
        fields,
      }))
      if (lost > 0) lines.push({ event: 'audit.lost', fields: { count: lost } })
      try {
        await this.#chain.write(lines)
      } catch (error) {
        this.#queue = [...batch, ...this.#queue]
        throw error
      } finally {
        this.#batch = []
      }
      this.#lost -= lost
      this.#turnSinceMs = this.#deps.clock.monotonicMs()
      for (const { gate } of batch) gate?.resolve()
      this.#recover()
      if (this.#chain.isFull) await this.#checkpoint('goes-on')
    }
  }

  /** Once a second: follows a rotation, syncs, makes checkpoints, and tries again what failed. */
  async #tick(): Promise<void> {
    for (;;) {
      await this.#deps.clock.sleep(this.#limits.tickMs, this.#stop.signal).catch(() => undefined)
      if (this.#stop.signal.aborted) return
      await this.#exclusively(async () => {
        await this.#maintain()
        await this.#flush()
      })
    }
  }

  async #maintain(): Promise<void> {
    await this.#chain.followFile()
    // While writing fails, a checkpoint is also what tells whether it still does.
    if (this.#chain.isDue || !this.healthy) await this.#checkpoint('goes-on')
    else await this.#chain.sync()
  }

  async #checkpoint(end: CheckpointEnd): Promise<void> {
    await this.#chain.checkpoint(end)
    this.#recover()
    this.#deps.onCheckpoint(this.#chain.head)
  }

  readonly #fail = (error: unknown): void => {
    this.healthy = false
    this.#rejectGated(unavailable('the audit file cannot be written', error))
    this.#deps.onHealth(error)
  }

  /** Whoever waits must not wait for a disk to be emptied, and what did not happen is not recorded. */
  #rejectGated(error: unknown): void {
    const gated = [...this.#batch, ...this.#queue].filter(({ gate }) => gate !== undefined)
    this.#queue = this.#queue.filter(({ gate }) => gate === undefined)
    for (const { gate } of gated) gate?.reject(error)
  }

  #recover(): void {
    if (this.healthy) return
    this.healthy = true
    this.#deps.onHealth(undefined)
  }
}

function unavailable(message: string, cause?: unknown): LatchkeyError {
  return new LatchkeyError('ERR_AUDIT_UNAVAILABLE', message, cause === undefined ? {} : { cause })
}
