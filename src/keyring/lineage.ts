import { LatchkeyError } from '../base/errors.ts'

/** How many ancestors a document and a high-water mark remember. */
export const maxAncestors = 64

/** Largest generation: ten digits. */
export const maxGeneration = 9_999_999_999

/** What a keyring id looks like: 16 bytes in base64url. */
export const keyringIdPattern = /^[A-Za-z0-9_-]{21}[AQgw]$/

/** What a document's digest looks like. */
export const digestPattern = /^sha256:[0-9a-f]{64}$/

/** Whether `value` can be the generation of a keyring. */
export function isGeneration(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= maxGeneration
}

/** A point in a keyring's history: enough to tell a successor from an older copy and from a fork. */
export interface LineageMark {
  readonly keyringId: string
  readonly generation: number
  /** `sha256:` digest of the whole document. */
  readonly digest: string
  /** Digests of earlier documents of this lineage, newest first, at most {@link maxAncestors}. */
  readonly ancestors: readonly string[]
}

/**
 * Decides whether `candidate` may follow `mark`, the newest keyring this node has accepted.
 * A MAC cannot see an old document put back; this can.
 *
 * @returns `same` or `newer`. A candidate more than {@link maxAncestors} generations ahead cannot be
 * traced to the mark and is taken as newer.
 * @throws `ERR_KEYRING_ROLLED_BACK`, `ERR_KEYRING_FORKED`, `ERR_KEYRING_FOREIGN`, each with its remedy.
 */
export function checkLineage(
  candidate: LineageMark,
  mark: LineageMark | undefined,
): 'same' | 'newer' {
  if (mark === undefined) return 'newer'
  if (candidate.digest === mark.digest) return 'same'
  if (candidate.ancestors.includes(mark.digest)) return 'newer'
  const untraceable = (newer: LineageMark, older: LineageMark): boolean =>
    newer.ancestors.length === maxAncestors &&
    newer.generation - older.generation >= maxAncestors &&
    newer.keyringId === older.keyringId
  if (mark.ancestors.includes(candidate.digest) || untraceable(mark, candidate)) {
    throw new LatchkeyError(
      'ERR_KEYRING_ROLLED_BACK',
      `keyring is at generation ${candidate.generation}, but this node has already used generation ${mark.generation}: an older copy was put back`,
      {
        hint: 'put the newest copy back; if it is lost, go on from this one with "latchkey keys adopt --from", naming another copy, a backup, or, when there is none, this keyring itself',
      },
    )
  }
  if (candidate.keyringId !== mark.keyringId) {
    throw new LatchkeyError(
      'ERR_KEYRING_FOREIGN',
      'another keyring was put in the place of the one that this node uses',
      {
        hint: 'put the former keyring back, or, if both have encrypted data, run "latchkey keys adopt --from" to merge them',
      },
    )
  }
  if (untraceable(candidate, mark)) return 'newer'
  throw new LatchkeyError(
    'ERR_KEYRING_FORKED',
    `keyring generation ${candidate.generation} does not descend from generation ${mark.generation}, which this node has used: two copies were changed apart from each other`,
    {
      hint: 'run "latchkey keys adopt --from" on one copy, naming the other, and use the result everywhere',
    },
  )
}

/** `mark`'s history with `mark` itself in front, as a successor carries it. */
export function ancestorsOfSuccessor(mark: LineageMark): readonly string[] {
  return [mark.digest, ...mark.ancestors].slice(0, maxAncestors)
}
