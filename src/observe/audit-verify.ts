import {
  hashLine,
  isAuditHead,
  maxLineBytes,
  parseLine,
  verifyCheckpoint,
  type AuditHead,
  type AuditLine,
  type CheckpointEnd,
} from './audit-record.ts'

/** What an auditor knows from elsewhere. */
export interface AuditKnowledge {
  /** Public keys of checkpoints, base64url; with any given, a chain of another key is a problem. */
  readonly keys: readonly string[]
  /** Heads exported earlier. */
  readonly heads: readonly AuditHead[]
}

/** Something that an untouched file does not have. */
export interface AuditProblem {
  readonly kind:
    'edited' | 'gap' | 'reordered' | 'bad-signature' | 'unknown-key' | 'cut' | 'head-missing'
  readonly chain: string
  /** Line of the file, from 1; 0 when it is about what is not there. */
  readonly line: number
}

/** One run of a process. */
export interface AuditChain {
  readonly chain: string
  /** Public key of its checkpoints, as its first line has it; empty when that line is not here. */
  readonly key: string
  readonly lines: number
  readonly firstSeq: number
  readonly lastSeq: number
  readonly firstTime: string
  readonly lastTime: string
  /** Lines after the last good checkpoint: whoever can write the file could have made or removed them. */
  readonly unanchored: number
  /** Whether it ends with the checkpoint of an orderly end. */
  readonly ended: boolean
  /** Events that could not be recorded, as it says itself. */
  readonly lost: number
  /** What the file ended with when the chain began, as it says itself. */
  readonly after: AuditHead | undefined
  /** Whether what it began after was shown: if not, there is, or was, an earlier file. */
  readonly afterShown: boolean
}

/** What an audit file turned out to be. */
export interface AuditReport {
  readonly chains: readonly AuditChain[]
  readonly problems: readonly AuditProblem[]
  /** Lines that are not of an audit file, as a crash leaves them. */
  readonly torn: readonly number[]
}

interface State {
  readonly chain: string
  readonly key: string
  readonly after: AuditHead | undefined
  readonly afterShown: boolean
  readonly firstSeq: number
  readonly firstTime: string
  lines: number
  lastSeq: number
  lastTime: string
  hash: string
  unanchored: number
  ended: boolean
  lost: number
}

/**
 * Verifies audit files, line by line and in order: see AUDIT.md beside this file. A pure function of
 * the lines (without their line feeds; the last one may be cut short) and of what is known otherwise.
 */
export function verifyAudit(
  lines: Iterable<Uint8Array>,
  knowledge: AuditKnowledge = { keys: [], heads: [] },
): AuditReport {
  const verifier = createAuditVerifier(knowledge)
  for (const line of lines) verifier.line(line)
  return verifier.finish()
}

/** As {@link verifyAudit}, for lines that come one at a time from files of any size. */
export function createAuditVerifier(knowledge: AuditKnowledge): {
  line(bytes: Uint8Array): void
  finish(): AuditReport
} {
  const chains = new Map<string, State>()
  const problems: AuditProblem[] = []
  const torn: number[] = []
  const missing = new Map(knowledge.heads.map((head) => [`${head.chain} ${head.seq}`, head]))
  let number = 0
  const problem = (kind: AuditProblem['kind'], chain: string): void => {
    problems.push({ kind, chain, line: number })
  }

  const place = (state: State | undefined, line: AuditLine): void => {
    if (state === undefined) return
    const expected = state.lastSeq + 1
    if (line.seq > expected) problem('gap', line.chain)
    else if (line.seq < expected) problem('reordered', line.chain)
    else if (line.prev !== state.hash) problem('edited', line.chain)
  }

  const begin = (line: AuditLine, fields: Readonly<Record<string, unknown>>): State => {
    const begins = line.event === 'audit.begin' && line.seq === 0
    const key = begins && typeof fields['key'] === 'string' ? fields['key'] : ''
    const trusted = knowledge.keys.length === 0 || knowledge.keys.includes(key)
    if (begins && !trusted) problem('unknown-key', line.chain)
    const after = begins && isAuditHead(fields['after']) ? fields['after'] : undefined
    return {
      chain: line.chain,
      key,
      after,
      afterShown: after === undefined || follows(after),
      lines: 0,
      firstSeq: line.seq,
      lastSeq: line.seq - 1,
      firstTime: line.time,
      lastTime: line.time,
      hash: line.prev,
      unanchored: 0,
      ended: false,
      lost: 0,
    }
  }

  /** A chain that begins says what stood before it: what is gone since was cut off. */
  const follows = (after: AuditHead): boolean => {
    const before = chains.get(after.chain)
    if (before === undefined) return false
    if (before.lastSeq !== after.seq || before.hash !== after.hash) problem('cut', after.chain)
    return true
  }

  const checkpoint = (
    state: State,
    line: AuditLine,
    fields: Readonly<Record<string, unknown>>,
  ): void => {
    // Without the chain's first line, which has its key, it must be one of those that are known.
    const keys = state.key === '' ? knowledge.keys : [state.key]
    if (keys.length === 0) return
    const signedAs = (end: CheckpointEnd): boolean =>
      keys.some((key) => verifyCheckpoint(line, fields['sig'], { key, end }))
    const ended = fields['final'] === true && signedAs('final')
    // Up to 0.1.0 that it was the last one was not signed, and so may be made up.
    if (!ended && !signedAs('goes-on')) {
      problem('bad-signature', line.chain)
      return
    }
    state.unanchored = 0
    state.ended = ended
  }

  return {
    line: (bytes) => {
      number += 1
      if (bytes.byteLength === 0) return
      const parsed = bytes.byteLength > maxLineBytes ? undefined : parseLine(bytes)
      if (parsed === undefined) {
        torn.push(number)
        return
      }
      const { line, fields } = parsed
      const known = chains.get(line.chain)
      place(known, line)
      const state = known ?? begin(line, fields)
      chains.set(line.chain, state)
      state.lines += 1
      state.lastSeq = line.seq
      state.lastTime = line.time
      state.hash = hashLine(bytes)
      state.unanchored += 1
      state.ended = false
      if (line.event === 'audit.checkpoint') checkpoint(state, line, fields)
      if (line.event === 'audit.lost' && typeof fields['count'] === 'number') {
        state.lost += fields['count']
      }
      const at = `${line.chain} ${line.seq}`
      const head = missing.get(at)
      if (head === undefined) return
      missing.delete(at)
      if (head.hash !== state.hash) problem('edited', line.chain)
    },
    finish: () => {
      number = 0
      for (const { chain } of missing.values()) problem('head-missing', chain)
      return {
        chains: [...chains.values()].map(({ hash: _hash, ...chain }) => chain),
        problems,
        torn,
      }
    },
  }
}
