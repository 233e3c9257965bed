import type { MountPlan } from '../../injection/plan.ts'
import { maxReferenceKeys, type Reference } from '../broker/messages.ts'
import { neededKeys } from '../render/render.ts'

/** What a plan asks a broker for: each secret once, with the keys that any of its entries needs. */
export function referencesOf(plan: MountPlan): readonly Reference[] {
  const wanted = new Map<string, Set<string> | 'all'>()
  for (const entry of plan.entries) {
    const keys = neededKeys(entry)
    const before = wanted.get(entry.secret)
    if (keys === undefined || before === 'all') wanted.set(entry.secret, 'all')
    else wanted.set(entry.secret, new Set([...(before ?? []), ...keys]))
  }
  return [...wanted].map(([secret, keys]) => ({
    secret,
    keys: keys === 'all' || keys.size > maxReferenceKeys ? [] : [...keys],
  }))
}
