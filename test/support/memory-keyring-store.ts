import { LatchkeyError } from '../../src/base/errors.ts'
import type { LineageMark } from '../../src/keyring/lineage.ts'
import type { KeyringStore, StoredDocument } from '../../src/keyring/store.ts'

/** What several {@link memoryKeyringStore}s share: the document and who watches it. */
export interface Memory {
  current: StoredDocument | undefined
  mark: LineageMark | undefined
  readonly watchers: Set<() => void>
}

/** An empty memory. */
export function emptyMemory(): Memory {
  return { current: undefined, mark: undefined, watchers: new Set() }
}

/** A keyring store that lives in `memory`; passes the same contract suite as the real ones. */
export function memoryKeyringStore(memory: Memory): KeyringStore {
  const location = 'memory'
  return {
    location,
    load: async () =>
      memory.current && { ...memory.current, bytes: Uint8Array.from(memory.current.bytes) },
    publish: async (bytes, { replaces }) => {
      const revision = memory.current?.revision
      if (replaces === undefined && revision !== undefined) {
        throw new LatchkeyError('ERR_KEYRING_EXISTS', 'there is a keyring already')
      }
      if (replaces !== revision) {
        throw new LatchkeyError('ERR_KEYRING_CONFLICT', 'somebody else was first')
      }
      const next = (revision ?? 0) + 1
      memory.current = {
        revision: next,
        bytes: Uint8Array.from(bytes),
        location: `${location}/${next}`,
      }
      for (const watcher of memory.watchers) queueMicrotask(watcher)
    },
    watch: async (onChange, signal) => {
      if (signal.aborted) return
      const changed = (): void => {
        if (!signal.aborted) onChange()
      }
      memory.watchers.add(changed)
      queueMicrotask(changed)
      await new Promise<void>((resolve) => {
        signal.addEventListener(
          'abort',
          () => {
            resolve()
          },
          { once: true },
        )
      })
      memory.watchers.delete(changed)
    },
    highWater: async () => memory.mark,
    raiseHighWater: async (mark) => {
      if (memory.mark?.ancestors.includes(mark.digest) !== true) memory.mark = mark
    },
  }
}
