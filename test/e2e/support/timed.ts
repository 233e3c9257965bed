import { until } from './until.ts'

/** How long something took, and how slow the machine was meanwhile. */
export interface Timed {
  readonly ms: number
  /** What the longest of the looks took by which it was seen. */
  readonly slowestLookMs: number
}

/**
 * Looks until `look` is content. What a look takes is the yardstick: it asks the same server at the
 * same time, and does next to nothing.
 */
export async function timed(what: string, look: () => Promise<boolean>): Promise<Timed> {
  const begin = performance.now()
  let slowestLookMs = 0
  const measured = async (): Promise<boolean> => {
    const since = performance.now()
    const seen = await look()
    slowestLookMs = Math.max(slowestLookMs, performance.now() - since)
    return seen
  }
  await until(what, measured, { timeoutMs: 20_000, everyMs: 10 })
  return { ms: performance.now() - begin, slowestLookMs }
}

/** Whether it took less than a second, that by which the machine was slow aside. */
export function withinASecond({ ms, slowestLookMs }: Timed): boolean {
  return ms < 1_000 + 5 * slowestLookMs
}

/** For a failure: what was measured. */
export function told({ ms, slowestLookMs }: Timed): string {
  return `${Math.round(ms)} ms, of looks that took up to ${Math.round(slowestLookMs)} ms`
}
