import type { Clock } from '../base/clock.ts'

/** Lets a thing happen seldom enough. */
export interface RateLimit {
  /**
   * Whether `key` may happen now; if so, how many times it was held back since it last happened.
   * `undefined` means not now.
   */
  admit(key: string): { readonly heldBack: number } | undefined
}

const maxKeys = 256

/**
 * Once per `intervalMs` and key, for log lines that a peer could otherwise cause in any number. Past
 * 256 keys the longest unseen is forgotten, so that peers who invent keys do not cost memory.
 */
export function createRateLimit(options: {
  readonly intervalMs: number
  readonly clock: Pick<Clock, 'monotonicMs'>
}): RateLimit {
  const entries = new Map<string, { admittedAt: number; heldBack: number }>()
  return {
    admit: (key) => {
      const now = options.clock.monotonicMs()
      const entry = entries.get(key)
      if (entry !== undefined && now - entry.admittedAt < options.intervalMs) {
        entry.heldBack += 1
        return undefined
      }
      entries.delete(key)
      entries.set(key, { admittedAt: now, heldBack: 0 })
      const [longestUnseen] = entries.keys()
      if (entries.size > maxKeys && longestUnseen !== undefined) entries.delete(longestUnseen)
      return { heldBack: entry?.heldBack ?? 0 }
    },
  }
}
