import { isLatchkeyError } from '../../base/errors.ts'
import { directoryOf } from '../../injection/consistency.ts'
import type { MountPlan } from '../../injection/plan.ts'
import { planDigest } from '../../injection/print.ts'
import { withdrawPlace } from '../publish/withdraw-place.ts'
import { PublishedPlaces } from '../published-places.ts'
import type { AgentOptions } from './options.ts'

type Options = Pick<AgentOptions, 'root' | 'state' | 'exclusive' | 'operations' | 'log'>

/** Knows where was published, so that nothing stays where a plan no longer says so. */
export class FormerPlaces {
  readonly #plan: MountPlan
  readonly #digest: string
  readonly #options: Options
  readonly #places: PublishedPlaces

  /** Reads what an earlier process noted. Throws `ERR_IO`. */
  constructor(plan: MountPlan, options: Options) {
    this.#plan = plan
    this.#digest = planDigest(plan)
    this.#options = options
    this.#places = new PublishedPlaces(options.state)
  }

  /**
   * Notes a directory before anything is published in it. That it cannot be noted keeps no secret
   * from its pod.
   */
  readonly note = (path: string): void => {
    try {
      this.#places.note(this.#options.root, path, this.#digest)
    } catch (error) {
      if (!isLatchkeyError(error)) throw error
      this.#options.log.error('state.failed', {}, error)
    }
  }

  /**
   * Takes away what was published in directories that the plan no longer names. Only below the same
   * root, as another path may lead to the same place, and only where no other sidecar has the state:
   * what that published would look like this. What fails is tried again at the next start.
   */
  withdraw(): void {
    const { root, exclusive, operations, log } = this.#options
    if (!exclusive) return
    const wanted = new Set(this.#plan.entries.map(directoryOf))
    for (const place of this.#places.all) {
      const { path, plans } = place
      if (place.root !== root || wanted.has(path)) continue
      try {
        const found = withdrawPlace({ root, path }, { plans, operations })
        if (found) log.info('files.withdrawn', { path })
        this.#places.forget(place)
      } catch (error) {
        if (!isLatchkeyError(error)) throw error
        log.error('files.failed', { path }, error)
      }
    }
  }
}
