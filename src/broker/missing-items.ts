import type { PreparedSet, SetItem } from './secret-set.ts'

/** What a pod waits for, told once it has waited for a moment, and once it no longer does. */
export class MissingItems {
  #told = ''

  /**
   * What is missing from `set`, if that is to be told now: it is other than what was told last, and
   * the stream has been open for long enough (`late`) that it is not just about to come.
   */
  news(set: PreparedSet, late: boolean): readonly SetItem[] | undefined {
    const missing = set.items.filter(({ status }) => status !== 'ready')
    if (missing.length > 0 && !late) return undefined
    const now = missing.map(({ secret, status, reason }) => [secret, status, reason]).join()
    if (now === this.#told) return undefined
    this.#told = now
    return missing
  }
}
