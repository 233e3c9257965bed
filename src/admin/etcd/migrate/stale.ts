import { isLatchkeyError } from '../../../base/errors.ts'
import type { ServedResource } from './discovery.ts'
import type { TargetPage } from './feed.ts'
import { listMetadata } from './listing.ts'
import type { Runner } from './migrate.ts'
import { objectId } from './report.ts'
import { targetOf, type RewriteDeps } from './rewrite.ts'
import type { Tally } from './tally.ts'

/** An object that etcd holds in another way than the API servers would write it now. */
export interface StaleObject {
  /** `''` for what belongs to no namespace. */
  readonly namespace: string
  readonly name: string
}

/** Reads from etcd which objects of a resource are stale now. */
export type StaleObjects = (resource: string, signal: AbortSignal) => AsyncIterable<StaleObject>

/** Looks into etcd before giving up: what a server that lags behind writes meanwhile takes another. */
const maxPasses = 5
/** So few are fetched one by one; for more, the list is cheaper. */
const fewObjects = 250

/**
 * Rewrites exactly what etcd shows to be stale, then looks again, until nothing is left but objects
 * that cannot be rewritten.
 *
 * @returns Whether the last look found nothing else.
 */
export async function rewriteStale(
  asked: {
    readonly resource: string
    /** `undefined` when no API serves it. */
    readonly served: ServedResource | undefined
    readonly stale: StaleObjects
  },
  deps: RewriteDeps,
  { tally, tell, run }: { readonly tally: Tally; readonly tell: () => void; readonly run: Runner },
): Promise<boolean> {
  const { resource, served } = asked
  const idOf = (object: StaleObject): string => objectId({ resource, ...object })
  /** How often each object was asked for, and how often there was an answer. */
  const history = new Map<string, { tries: number; answers: number }>()
  for (let pass = 0; ; pass += 1) {
    tally.phase = pass === 0 ? 'listing' : 'checking'
    tell()
    const stale = new Map<string, StaleObject>()
    for await (const object of asked.stale(resource, deps.signal)) stale.set(idOf(object), object)
    tally.keepRefused((id) => stale.has(id))
    for (const object of tally.refused) stale.delete(objectId(object))
    if (stale.size === 0) return true
    for (const [id, object] of stale) {
      const { tries, answers } = history.get(id) ?? { tries: 0, answers: 0 }
      if (served === undefined || (tries > 0 && answers === 0)) {
        tally.count(object, { kind: 'refused', cause: 'no-api', detail: 'not found' })
      } else if (answers >= 2 || pass >= maxPasses) {
        tally.count(object, { kind: 'refused', cause: 'not-rewritten', detail: `${answers} tries` })
      } else {
        history.set(id, { tries: tries + 1, answers })
        continue
      }
      stale.delete(id)
    }
    if (stale.size === 0 || served === undefined) continue
    tally.phase = 'rewriting'
    tally.total = tally.report().listed + stale.size
    await run(served, pagesOf(served, stale, { deps, idOf }), (target, outcome) => {
      const past = history.get(idOf(target))
      if (past !== undefined && outcome.kind !== 'gone') past.answers += 1
    })
    if (deps.dryRun) return false
  }
}

/** The stale objects, with their metadata where a list is worth while, and those alone elsewhere. */
async function* pagesOf(
  served: ServedResource,
  stale: ReadonlyMap<string, StaleObject>,
  { deps, idOf }: { readonly deps: RewriteDeps; readonly idOf: (object: StaleObject) => string },
): AsyncGenerator<TargetPage> {
  const left = new Map(stale)
  if (stale.size > fewObjects) {
    try {
      for await (const { objects } of listMetadata(deps.client, served, deps)) {
        const targets = objects.filter((object) => left.delete(idOf(object))).map(targetOf)
        yield { targets, remaining: undefined }
      }
    } catch (error) {
      // A single object that cannot be decrypted makes every list fail, and must not stop the others.
      if (!isLatchkeyError(error, 'ERR_KUBERNETES_UNAVAILABLE')) throw error
    }
  }
  // What a list does not show is asked for by name: was it deleted, or does no API serve it?
  yield { targets: [...left.values()], remaining: 0 }
}
