import type { KeyObject } from 'node:crypto'
import { toBase64Url } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import type { RandomBytes } from '../base/random.ts'
import type { AuditFile } from './audit-file.ts'
import type { AuditRotation } from './audit-rotation.ts'
import {
  encodeLine,
  exportPublicKey,
  hashLine,
  maxLineBytes,
  signCheckpoint,
  type AuditHead,
  type AuditLine,
  type CheckpointEnd,
} from './audit-record.ts'

/** What a line says, without its place in a chain. */
export interface ChainRecord {
  readonly event: string
  readonly fields: object
}

/** What a chain needs from outside. */
export interface AuditChainDeps {
  /** Opens the file, again when the path has come to name another one. */
  readonly open: () => Promise<AuditFile>
  readonly clock: Clock
  readonly random: RandomBytes
  /** Ed25519 private key of the checkpoints. */
  readonly key: KeyObject
  /** Who writes: named in the first line. */
  readonly program: string
  readonly replica: string
  /** Without one the file grows until somebody else rotates it. */
  readonly rotation?: AuditRotation
  readonly limits: {
    /** Lines between checkpoints. */
    readonly checkpointLines: number
    /** Milliseconds between checkpoints while there is something new. */
    readonly checkpointMs: number
  }
}

/** How long after a file could not be moved that is tried again, in milliseconds. */
const rotateAgainMs = 10_000

/**
 * The chain of lines in an audit file, and another one after a write that may have left half of
 * something behind: see AUDIT.md beside this file. One call at a time; each throws what the file does.
 */
export class AuditChain {
  readonly #deps: AuditChainDeps
  #file: AuditFile
  #chain = ''
  #seq = 0
  #prev = ''
  #sinceCheckpoint = 0
  #checkpointAtMs = 0
  #dirty = false
  #rotateAtMs = -Infinity

  constructor(file: AuditFile, deps: AuditChainDeps) {
    this.#file = file
    this.#deps = deps
  }

  /** The last line. */
  get head(): AuditHead {
    return { chain: this.#chain, seq: this.#seq - 1, hash: this.#prev }
  }

  /** Whether there are as many lines without a checkpoint as there may be. */
  get isFull(): boolean {
    return this.#sinceCheckpoint >= this.#deps.limits.checkpointLines
  }

  /** Whether something has been without a checkpoint for as long as it may be. */
  get isDue(): boolean {
    const { clock, limits } = this.#deps
    const due = clock.monotonicMs() - this.#checkpointAtMs >= limits.checkpointMs
    return due && this.#sinceCheckpoint > 0
  }

  async begin(): Promise<void> {
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
    await this.write([{ event: 'audit.begin', fields }])
    this.#checkpointAtMs = this.#deps.clock.monotonicMs()
  }

  /** Appends all of the lines, or throws; what it has then left behind is no part of a chain. */
  async write(records: readonly ChainRecord[]): Promise<void> {
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

  /** Appends a checkpoint and syncs, so that it is the {@link head}. */
  async checkpoint(end: CheckpointEnd): Promise<void> {
    if (this.#file.damaged) await this.#reopen()
    const line = this.#lineOf('audit.checkpoint', { prev: this.#prev, seq: this.#seq })
    const fields = end === 'final' ? { final: true } : {}
    const bytes = encodeLine(line, { ...fields, sig: signCheckpoint(line, this.#deps.key, end) })
    await this.#file.append(Buffer.concat([bytes, Buffer.of(10)]))
    this.#prev = hashLine(bytes)
    this.#seq += 1
    this.#sinceCheckpoint = 0
    this.#checkpointAtMs = this.#deps.clock.monotonicMs()
    this.#dirty = true
    await this.sync()
  }

  /** Goes on in the file that the path names now, if that is another one. */
  async followFile(): Promise<void> {
    await this.#rotate()
    if (await this.#file.current()) return
    const next = await this.#deps.open()
    // What went into the former file must survive a power cut as what comes after it does.
    await this.#file.sync().finally(() => this.#file.close())
    this.#file = next
  }

  /** Syncs what was written since the last time. */
  async sync(): Promise<void> {
    if (!this.#dirty) return
    await this.#file.sync()
    this.#dirty = false
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  /** A file that cannot be moved is written on, since what is handed out depends on it. */
  async #rotate(): Promise<void> {
    const { rotation, clock } = this.#deps
    const now = clock.monotonicMs()
    if (rotation === undefined || this.#file.size < rotation.fileBytes) return
    if (now < this.#rotateAtMs) return
    try {
      // Another file may have the name by now, and is not ours to move.
      if (await this.#file.current()) await rotation.rotate()
    } catch (error) {
      this.#rotateAtMs = now + rotateAgainMs
      rotation.onProblem(error)
    }
  }

  #lineOf(event: string, place: { readonly prev: string; readonly seq: number }): AuditLine {
    const time = new Date(this.#deps.clock.now()).toISOString()
    return { chain: this.#chain, time, event, ...place }
  }

  /** What half of a batch may have left behind belongs to no chain that could go on. */
  async #reopen(): Promise<void> {
    const next = await this.#deps.open()
    await this.#file.close()
    this.#file = next
    await this.begin()
  }
}
