import { timingSafeEqual } from 'node:crypto'
import { rfc3339 } from '../base/clock.ts'
import { LatchkeyError } from '../base/errors.ts'
import type { DocumentBody, KeyRecord } from './document.ts'
import { requireKind, type NextDocument } from './generations.ts'
import type { KeyInfo, KeyState } from './key.ts'
import type { Keyring } from './keyring.ts'
import { maxAncestors } from './lineage.ts'
import { sealDocument, wrapKek, type MakeDeps } from './seal.ts'

/** What an adoption would make, for the person who is asked to agree. */
export interface Adoption {
  readonly document: NextDocument
  /** Keys whose material comes from the other keyring. */
  readonly gained: readonly KeyInfo[]
}

/**
 * Merges `other` into `local`: every key that either can decrypt with, the result can decrypt with.
 * `local`'s active key stays the active one; a key that is in both gets the state that needs it
 * more; a key destroyed in `local` and alive in `other` comes back as superseded where `other`
 * counts on it, and as retired where it does not. No key stays staged: a generation that is lost,
 * which is what adoptions are for, may have activated it, and a staged key can be destroyed without
 * more ado. The generation goes above both, and both
 * histories count as ancestors, so that nodes on either side accept the result.
 *
 * @throws `ERR_WOULD_LOSE_DATA` when one id stands for two keys.
 */
export function adoptKeyring(
  local: Keyring,
  other: Keyring,
  deps: MakeDeps & {
    /** The result's generation is at least this: above what the node has used. Default 1. */
    readonly minGeneration?: number
  },
): Adoption {
  requireKind(local, 'keyring')
  const at = rfc3339(deps.now())
  const key = local.keyringKey()
  const gained: KeyInfo[] = []
  const wrapForeign = (info: KeyInfo): KeyRecord => {
    gained.push(info)
    const { material } = other.live(info.id)
    return {
      ...info,
      wrapped: wrapKek(material, { info, body: local.body, key, random: deps.random }),
    }
  }
  const merged = local.keys.map((mine): KeyRecord => {
    const theirs = other.find(mine.id)
    if (theirs !== undefined) requireSameKey(local, other, mine.id)
    const state = mergedState(mine.state, theirs?.state)
    const changedAt = state === mine.state ? mine.changedAt : at
    if (mine.wrapped === undefined && theirs?.wrapped !== undefined) {
      return wrapForeign({ ...infoOf(theirs), state, changedAt })
    }
    return { ...mine, state, changedAt }
  })
  const added = other.keys
    .filter((theirs) => local.find(theirs.id) === undefined)
    .map((theirs): KeyRecord => {
      if (theirs.wrapped === undefined) return theirs
      const state = theirs.state === 'retired' ? 'retired' : 'superseded'
      return wrapForeign({ ...infoOf(theirs), state, changedAt: at })
    })
  const body: DocumentBody = {
    ...local.body,
    generation: Math.max(local.generation + 1, other.generation + 1, deps.minGeneration ?? 1),
    createdAt: at,
    ancestors: mergedAncestors(local, other),
    keys: [...merged, ...added],
  }
  const bytes = sealDocument(body, { kind: 'keyring', key })
  return { document: { generation: body.generation, bytes }, gained }
}

function infoOf({ id, clusterId, state, createdAt, changedAt }: KeyRecord): KeyInfo {
  return { id, clusterId, state, createdAt, changedAt }
}

function mergedState(mine: KeyState, theirs: KeyState | undefined): KeyState {
  if (mine === 'active') return mine
  if (mayBeNeeded(mine) || mayBeNeeded(theirs)) return 'superseded'
  return theirs === 'retired' ? 'retired' : mine
}

/** A staged key too: a later generation, which neither side has, may have activated it. */
function mayBeNeeded(state: KeyState | undefined): boolean {
  return state === 'staged' || state === 'active' || state === 'superseded'
}

/** Ids are random, so this happens only to keyrings that were made by hand; one key would be lost. */
function requireSameKey(local: Keyring, other: Keyring, id: string): void {
  const [mine, theirs] = [local.find(id), other.find(id)]
  if (mine?.clusterId === theirs?.clusterId) {
    if (mine?.wrapped === undefined || theirs?.wrapped === undefined) return
    const [ours, foreign] = [local.live(id).material, other.live(id).material]
    if (timingSafeEqual(ours.expose(), foreign.expose())) return
  }
  throw new LatchkeyError('ERR_WOULD_LOSE_DATA', `${id} is another key in each of the keyrings`, {
    hint: 'one of them was not made by Latchkey: keep both, and use each for its own cluster',
  })
}

/** Both histories, newest first from each in turn, so that neither is cut off by the other's length. */
function mergedAncestors(local: Keyring, other: Keyring): readonly string[] {
  const mine = [local.digest, ...local.ancestors]
  const theirs = other.kind === 'keyring' ? [other.digest, ...other.ancestors] : other.ancestors
  const longest = Math.max(mine.length, theirs.length)
  const woven = Array.from({ length: longest }, (_, index) => [mine[index], theirs[index]]).flat()
  const digests = woven.filter((digest) => digest !== undefined)
  return [...new Set(digests)].slice(0, maxAncestors)
}
