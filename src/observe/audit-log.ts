import type { KeyObject } from 'node:crypto'
import { toBase64Url } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { LatchkeyError } from '../base/errors.ts'
import type { RandomBytes } from '../base/random.ts'
import type { AuditEvent, AuditSink } from './audit.ts'
import type { AuditFile } from './audit-file.ts'
import {
  encodeLine,
  exportPublicKey,
  hashLine,
  maxLineBytes,
  signCheckpoint,
  type AuditHead,
  type AuditLine,
} from './audit-record.ts'

/** What an audit log needs from outside. */
export interface AuditLogDeps {
  /** Opens the file, again when the path has come to name another one. */
  readonly open: () => Promise<AuditFile>
  readonly clock: Clock
  readonly random: RandomBytes
  /** Ed25519 private key of the checkpoints. */
  readonly key: KeyObject
  /** Who writes: named in the first line. */
  readonly program: string
  readonly replica: string
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
  /** Lines between checkpoints. */
  readonly checkpointLines: number
  /** Milliseconds between checkpoints while there is something new. */
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

interface Line {
  readonly event: string
  readonly fields: object
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
  #file: AuditFile
  #chain = ''
  #seq = 0
  #prev = ''
  #queue: Waiting[] = []
  /** What is being written. */
  #batch: readonly Waiting[] = []
  #lost = 0
  #flushing = false
  #sinceCheckpoint = 0
  #checkpointAtMs = 0
  #dirty = false
  /** Everything that touches the file happens in this order, one at a time. */
  #turn: Promise<void> = Promise.resolve()
  #turnSinceMs: number | undefined
  #ticking: Promise<void> | undefined

  constructor(file: AuditFile, deps: AuditLogDeps) {
    this.#file = file
    this.#deps = deps
    this.#limits = { ...defaults, ...deps.limits }
  }

  async begin(): Promise<void> {
    await this.#beginChain()
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
      await this.#checkpoint({ final: true })
    })
    const closed = Promise.all([this.#ticking, written]).then(() => this.#file.close())
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
      const lines: Line[] = batch.map(({ event: { event, ...fields } }) => ({ event, fields }))
      if (lost > 0) lines.push({ event: 'audit.lost', fields: { count: lost } })
      try {
        await this.#write(lines)
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
      if (this.#sinceCheckpoint >= this.#limits.checkpointLines) await this.#checkpoint({})
    }
  }

  async #write(records: readonly Line[]): Promise<void> {
    if (this.#file.damaged) await this.#reopen()
    let prev = this.#prev
    let seq = this.#seq
    const parts: Buffer[] = []
    for (const { event, fields } of records) {
      const line = this.#lineOf(event, { prev, seq })
      let bytes = encodeLine(line, fields)
      // The limits on what peers send keep lines well below; should one be too long, it still counts.
      if (bytes.byteLength > maxLineBytes) bytes = encodeLine(line, { detail: 'too long' })
      parts.push(bytes, Buffer.of(10))
      prev = hashLine(bytes)
      seq += 1
    }
    await this.#file.append(Buffer.concat(parts))
    this.#prev = prev
    this.#seq = seq
    this.#sinceCheckpoint += records.length
    this.#dirty = true
  }

  async #checkpoint(fields: { readonly final?: true }): Promise<void> {
    if (this.#file.damaged) await this.#reopen()
    const line = this.#lineOf('audit.checkpoint', { prev: this.#prev, seq: this.#seq })
    const end = fields.final === true ? 'final' : 'goes-on'
    const bytes = encodeLine(line, { ...fields, sig: signCheckpoint(line, this.#deps.key, end) })
    await this.#file.append(Buffer.concat([bytes, Buffer.of(10)]))
    this.#prev = hashLine(bytes)
    this.#seq += 1
    this.#sinceCheckpoint = 0
    this.#checkpointAtMs = this.#deps.clock.monotonicMs()
    await this.#sync()
    this.#recover()
    this.#deps.onCheckpoint({ chain: this.#chain, seq: line.seq, hash: this.#prev })
  }

  #lineOf(event: string, place: { readonly prev: string; readonly seq: number }): AuditLine {
    const time = new Date(this.#deps.clock.now()).toISOString()
    return { chain: this.#chain, time, event, ...place }
  }

  async #beginChain(): Promise<void> {
    const { program, replica, key, random } = this.#deps
    this.#chain = toBase64Url(random(16))
    this.#seq = 0
    this.#prev = ''
    const fields = {
      format: 1,
      program,
      replica,
      key: exportPublicKey(key),
      after: this.#file.end.last,
    }
    await this.#write([{ event: 'audit.begin', fields }])
    this.#checkpointAtMs = this.#deps.clock.monotonicMs()
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
    if (!(await this.#file.current())) {
      const next = await this.#deps.open()
      // What went into the former file must survive a power cut as what comes after it does.
      await this.#sync().finally(() => this.#file.close())
      this.#file = next
    }
    const due = this.#deps.clock.monotonicMs() - this.#checkpointAtMs >= this.#limits.checkpointMs
    // While writing fails, a checkpoint is also what tells whether it still does.
    if ((due && this.#sinceCheckpoint > 0) || !this.healthy) await this.#checkpoint({})
    else if (this.#dirty) await this.#sync()
  }

  /** What half of a batch may have left behind belongs to no chain that could go on. */
  async #reopen(): Promise<void> {
    const next = await this.#deps.open()
    await this.#file.close()
    this.#file = next
    await this.#beginChain()
  }

  async #sync(): Promise<void> {
    await this.#file.sync()
    this.#dirty = false
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
