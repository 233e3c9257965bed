import type { Clock } from '../../../base/clock.ts'
import { LatchkeyError } from '../../../base/errors.ts'
import {
  objectId,
  remedies,
  type MigrateProgress,
  type RefusedObject,
  type ResourceReport,
} from './report.ts'
import type { Rewritten } from './rewrite.ts'

/** More refusals than this have one cause, and nobody reads them one by one. */
const maxRefused = 10_000
/** Milliseconds over which the speed is taken. */
const speedWindowMs = 10_000

type Counted = 'rewritten' | 'unchanged' | 'gone'

/** Counts what becomes of the objects of one resource. */
export interface Tally {
  phase: MigrateProgress['phase']
  /** How many objects there are, when it is known. */
  total: number | undefined
  readonly refused: readonly RefusedObject[]
  /**
   * @throws `ERR_KUBERNETES_REFUSED` when more than 10,000 objects were refused.
   */
  count(object: { readonly namespace: string; readonly name: string }, outcome: Rewritten): void
  /** Forgets refusals of objects that turned out to be fine. */
  keepRefused(keep: (id: string) => boolean): void
  progress(inFlight: number): MigrateProgress
  report(): ResourceReport
}

/** A tally that begins at zero. */
export function createTally(resource: string, clock: Clock): Tally {
  const counts: Record<Counted, number> = { rewritten: 0, unchanged: 0, gone: 0 }
  let refused: RefusedObject[] = []
  let marks: { readonly atMs: number; readonly done: number }[] = []
  const done = (): number => counts.rewritten + counts.unchanged + counts.gone + refused.length

  const speed = (): number => {
    const now = clock.monotonicMs()
    const last = marks.at(-1)
    if (last === undefined || now - last.atMs >= 250) marks.push({ atMs: now, done: done() })
    marks = marks.filter(({ atMs }) => now - atMs <= speedWindowMs)
    const [first] = marks
    if (first === undefined || now - first.atMs < 250) return 0
    return ((done() - first.done) / (now - first.atMs)) * 1000
  }

  return {
    phase: 'listing',
    total: undefined,
    get refused() {
      return refused
    },
    count: ({ namespace, name }, outcome) => {
      if (outcome.kind !== 'refused') {
        counts[outcome.kind] += 1
        return
      }
      const { cause, detail } = outcome
      const object: RefusedObject = { resource, namespace, name, cause, detail }
      refused.push(object)
      if (refused.length <= maxRefused) return
      throw new LatchkeyError(
        'ERR_KUBERNETES_REFUSED',
        `more than ${maxRefused} objects of ${resource} cannot be rewritten; one is ${objectId(object)} (${cause}: ${detail})`,
        { hint: remedies[cause] },
      )
    },
    keepRefused: (keep) => {
      refused = refused.filter((object) => keep(objectId(object)))
    },
    progress(inFlight) {
      const perSecond = speed()
      const left = this.total === undefined ? undefined : Math.max(0, this.total - done())
      return {
        resource,
        phase: this.phase,
        done: done(),
        total: this.total,
        refused: refused.length,
        inFlight,
        perSecond,
        secondsLeft: left === undefined || perSecond <= 0 ? undefined : left / perSecond,
      }
    },
    report: () => ({ resource, listed: done(), ...counts, refused: refused.length }),
  }
}
