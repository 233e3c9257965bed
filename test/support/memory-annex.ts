import type { Annex } from '../../src/keyring/annex.ts'
import { busy, encodeEntry, requireNames } from '../../src/keyring/stores/annex-entry.ts'

/** What several {@link memoryAnnex}es share. */
export interface AnnexMemory {
  readonly entries: Map<string, string>
  readonly locks: Set<string>
}

/** An annex that lives in `memory`; passes the same contract suite as the real ones. */
export function memoryAnnex(memory: AnnexMemory): Annex {
  return {
    location: 'memory',
    list: async (kind) => {
      requireNames(kind)
      return [...memory.entries]
        .filter(([key]) => key.startsWith(`${kind}/`))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, text]) => ({
          name: key.slice(kind.length + 1),
          value: JSON.parse(text) as unknown,
        }))
    },
    create: async (kind, name, value) => {
      requireNames(kind, name)
      const text = Buffer.from(encodeEntry(value)).toString()
      if (memory.entries.has(`${kind}/${name}`)) return false
      memory.entries.set(`${kind}/${name}`, text)
      return true
    },
    remove: async (kind, name) => {
      requireNames(kind, name)
      return memory.entries.delete(`${kind}/${name}`)
    },
    lock: async (name) => {
      requireNames(name)
      if (memory.locks.has(name)) throw busy('memory')
      memory.locks.add(name)
      return {
        lost: new AbortController().signal,
        release: async () => {
          memory.locks.delete(name)
        },
      }
    },
  }
}
