import type { StateDirectory } from './state-directory.ts'

/** What the sidecar has to know after a restart, beside the files themselves. */
export interface JournalState {
  /** Whether every file of the plan was once published: the pod has started. */
  readonly started: boolean
  /**
   * Entries whose files changed and whose hook has not succeeded since. Written before the change
   * can be seen, so that a crash between the two repeats the hook rather than losing it.
   */
  readonly pendingHooks: readonly number[]
  /** When each secret that is denied or missing was first said to be, milliseconds since 1970. */
  readonly deniedSince: Readonly<Record<string, number>>
  /** What became of bound files, by entry. */
  readonly boundFiles: Readonly<Record<string, (typeof boundStates)[number]>>
}

/** Of a bound file: it is about to be there for the first time; it is; a decision emptied it. */
const boundStates = ['begun', 'published', 'emptied'] as const

const documentName = 'journal.json'

const blank: JournalState = { started: false, pendingHooks: [], deniedSince: {}, boundFiles: {} }

/** The journal of one plan, on the sidecar's own tmpfs. */
export class Journal {
  readonly #directory: StateDirectory
  readonly #plan: string
  readonly #marks = new Map<number, number>()
  #state: JournalState

  private constructor(directory: StateDirectory, plan: string, state: JournalState) {
    this.#directory = directory
    this.#plan = plan
    this.#state = state
  }

  /** Opens the journal; what was written for another plan, or is broken, counts as nothing. */
  static open(directory: StateDirectory, plan: string): Journal {
    const state = readState(directory.read(documentName), plan)
    return new Journal(directory, plan, state ?? blank)
  }

  get state(): JournalState {
    return this.#state
  }

  /** Notes that the hooks of `entries` are due, and that whatever runs now is not enough. */
  markHooks(entries: Iterable<number>): void {
    const due = new Set(this.#state.pendingHooks)
    for (const entry of entries) {
      due.add(entry)
      this.#marks.set(entry, (this.#marks.get(entry) ?? 0) + 1)
    }
    this.update({ pendingHooks: [...due].sort((a, b) => a - b) })
  }

  /** How often each hook was noted by this process; to be asked before a hook runs. */
  hookMarks(): HookMarks {
    return new Map(this.#marks)
  }

  /** Notes that the hooks of `entries` have run, less those noted again since `marks`. */
  settleHooks(entries: readonly number[], marks: HookMarks): void {
    const done = new Set(entries.filter((each) => marks.get(each) === this.#marks.get(each)))
    this.update({ pendingHooks: this.#state.pendingHooks.filter((each) => !done.has(each)) })
  }

  /** Changes fields and writes the journal, if that makes a difference. */
  update(change: Partial<JournalState>): void {
    const next = { ...this.#state, ...change }
    if (JSON.stringify(next) === JSON.stringify(this.#state)) return
    const document = { format: 1, plan: this.#plan, ...next }
    this.#directory.write(documentName, `${JSON.stringify(document)}\n`)
    this.#state = next
  }
}

/** Which due hooks were noted again while one of them ran. */
export type HookMarks = ReadonlyMap<number, number>

function readState(text: string | undefined, plan: string): JournalState | undefined {
  const document = parseRecord(text)
  if (document?.['format'] !== 1 || document['plan'] !== plan) return undefined
  const { started, pendingHooks, deniedSince, boundFiles } = document
  const valid =
    typeof started === 'boolean' &&
    Array.isArray(pendingHooks) &&
    pendingHooks.every((entry) => Number.isSafeInteger(entry)) &&
    isRecord(deniedSince) &&
    Object.values(deniedSince).every((since) => Number.isSafeInteger(since)) &&
    isRecord(boundFiles) &&
    Object.values(boundFiles).every((state) => boundStates.some((each) => each === state))
  if (!valid) return undefined
  return {
    started,
    pendingHooks: pendingHooks as number[],
    deniedSince: deniedSince as Record<string, number>,
    boundFiles: boundFiles as JournalState['boundFiles'],
  }
}

function parseRecord(text: string | undefined): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '')
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
