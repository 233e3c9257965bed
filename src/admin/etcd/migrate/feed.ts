import type { Target } from './rewrite.ts'

/** Some objects, and how many come after them when somebody knows. */
export interface TargetPage {
  readonly targets: readonly Target[]
  readonly remaining: number | undefined
}

/** Hands objects to many workers, and fetches the next page while they work on the last. */
export interface Feed {
  /** The next object; `undefined` when there are no more. Throws what the pages throw. */
  next(): Promise<Target | undefined>
}

/** A page is fetched when fewer objects than this are left: at most two pages are in memory. */
const lowWater = 250

/** Reads `pages` as they are needed; `onPage` is told of each. */
export function createFeed(
  pages: AsyncIterable<TargetPage>,
  onPage: (page: TargetPage) => void,
): Feed {
  const iterator = pages[Symbol.asyncIterator]()
  let queue: readonly Target[] = []
  let taken = 0
  let ended = false
  let failure: { readonly error: unknown } | undefined
  let fetching: Promise<void> | undefined
  const fetch = (): Promise<void> => {
    fetching ??= (async () => {
      try {
        const result = await iterator.next()
        if (result.done === true) {
          ended = true
          return
        }
        onPage(result.value)
        queue = [...queue.slice(taken), ...result.value.targets]
        taken = 0
      } catch (error) {
        // A generator that has thrown ends quietly: without this, objects would be passed over.
        failure = { error }
      } finally {
        fetching = undefined
      }
    })()
    return fetching
  }
  return {
    next: async () => {
      while (taken === queue.length) {
        if (failure !== undefined) throw failure.error
        if (ended) return undefined
        await fetch()
      }
      if (!ended && failure === undefined && queue.length - taken <= lowWater) void fetch()
      const object = queue[taken]
      taken += 1
      return object
    },
  }
}
