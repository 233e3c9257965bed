import type { SetItem } from './secret-set.ts'

/**
 * Holds new values back until the permission to hand them out is known to be younger than they are.
 *
 * @remarks
 * Whoever takes a grant away and then changes the secret, as after an incident, must not see the new
 * value handed to those who had the former one because the authorizer was slower than the secret. The
 * first value of all does not wait: each pod waits for an answer of its own when it comes.
 */
export class NewValues {
  /** Version of each item as last handed out, `''` for a secret that was not there. */
  readonly #known: (string | undefined)[]
  readonly #came: ({ readonly version: string; readonly atMs: number } | undefined)[]

  constructor(items: number) {
    this.#known = Array.from({ length: items })
    this.#came = Array.from({ length: items })
  }

  /** Whether the item at `index`, as it is decided `now`, has to wait. */
  wait(
    index: number,
    { status, version }: Pick<SetItem, 'status' | 'version'>,
    deps: { readonly now: number; readonly covers: (atMs: number) => boolean },
  ): boolean {
    if (status === 'unavailable') return false
    const known = this.#known[index]
    if (status === 'ready' && known !== undefined && known !== version) {
      const came = this.#came[index]
      const atMs = came?.version === version ? came.atMs : deps.now
      this.#came[index] = { version, atMs }
      if (!deps.covers(atMs)) return true
    }
    this.#came[index] = undefined
    // What was denied and is granted again is as new as the grant.
    this.#known[index] = status === 'denied' ? undefined : version
    return false
  }
}
