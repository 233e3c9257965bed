import { LatchkeyError } from '../../src/base/errors.ts'
import {
  keyBytes,
  type Comparison,
  type EtcdEntry,
  type EtcdEvent,
  type EtcdKey,
  type Operation,
  type OperationAnswer,
  type RangeAnswer,
  type RangeQuery,
} from '../../src/clients/etcd/messages.ts'
import type { WatchOptions } from '../../src/clients/etcd/watch.ts'
import type { KeyringEtcd } from '../../src/keyring/stores/etcd.ts'

interface Stored extends EtcdEntry {
  readonly leaseId: number
}

/** What several clients share. */
export interface FakeEtcd {
  /** A client of its own connection. */
  readonly connect: () => FakeConnection
  /** Ends the lease that `key` hangs on, as if no sign of life had come. */
  readonly expire: (key: string) => void
  readonly get: (key: string) => string | undefined
  readonly put: (key: string, value: string) => void
  readonly keys: () => readonly string[]
  /** All there is, as a snapshot would hold it, and back. */
  readonly save: () => () => void
}

/** A connection that can be cut. */
export interface FakeConnection extends KeyringEtcd {
  /** `cut`: nothing passes. `unanswered`: writes pass, their answers do not. */
  mode: 'up' | 'cut' | 'unanswered'
}

/** An etcd in memory, as far as keyrings need one; `test/e2e/etcd` holds the real one to the same tests. */
export function fakeEtcd(): FakeEtcd {
  let entries = new Map<string, Stored>()
  let revision = 1
  const watchers = new Set<(events: readonly EtcdEvent[]) => void>()
  const leases = new Map<number, () => void>()

  const inRange = (key: string, from: EtcdKey, end: EtcdKey | undefined): boolean => {
    const bytes = Buffer.from(key)
    if (end === undefined) return bytes.equals(keyBytes(from))
    return bytes.compare(keyBytes(from)) >= 0 && bytes.compare(keyBytes(end)) < 0
  }
  const select = (from: EtcdKey, end: EtcdKey | undefined): readonly Stored[] =>
    [...entries.values()]
      .filter(({ key }) => inRange(key, from, end))
      .sort((a, b) => Buffer.from(a.key).compare(Buffer.from(b.key)))
  const range = (key: EtcdKey, query: RangeQuery): RangeAnswer => {
    const found = select(key, query.rangeEnd)
    return { entries: found, revision, more: false, count: found.length }
  }
  const holds = (comparison: Comparison): boolean => {
    const found = select(comparison.key, comparison.rangeEnd)
    const absent = { version: 0, createRevision: 0, modRevision: 0, value: Buffer.alloc(0) }
    return (found.length === 0 ? [absent] : found).every((entry) => {
      if (comparison.target === 'value') {
        return found.length > 0 && entry.value.equals(comparison.value) === (comparison.is === '=')
      }
      const has = {
        version: entry.version,
        create: entry.createRevision,
        mod: entry.modRevision,
      }[comparison.target]
      const { is, value } = comparison
      return { '=': has === value, '>': has > value, '<': has < value, '!=': has !== value }[is]
    })
  }
  const change = (steps: readonly Operation[]): readonly OperationAnswer[] => {
    const events: EtcdEvent[] = []
    const next = revision + 1
    const answers = steps.map((step): OperationAnswer => {
      if ('range' in step) return { range: range(step.range.key, step.range) }
      if ('put' in step) {
        const key = Buffer.from(keyBytes(step.put.key)).toString()
        const former = entries.get(key)
        const leaseId = step.put.leaseId ?? 0
        const entry = {
          key,
          value: Buffer.from(step.put.value),
          createRevision: former?.createRevision ?? next,
          modRevision: next,
          version: (former?.version ?? 0) + 1,
          leased: leaseId !== 0,
          leaseId,
        }
        entries.set(key, entry)
        events.push({ type: 'put', entry })
        return { put: true }
      }
      const gone = select(step.delete.key, step.delete.rangeEnd)
      for (const entry of gone) {
        entries.delete(entry.key)
        events.push({ type: 'delete', entry: { ...entry, modRevision: next } })
      }
      return { deleted: gone.length }
    })
    if (events.length > 0) {
      revision = next
      queueMicrotask(() => {
        for (const watcher of watchers) watcher(events)
      })
    }
    return answers
  }
  const endLease = (leaseId: number): void => {
    const gone = [...entries.values()].filter((entry) => entry.leaseId === leaseId)
    change(gone.map(({ key }) => ({ delete: { key } })))
    leases.get(leaseId)?.()
    leases.delete(leaseId)
  }

  const connect = (): FakeConnection => {
    const cut = (): LatchkeyError => new LatchkeyError('ERR_ETCD_UNAVAILABLE', 'cut off')
    const connection: FakeConnection = {
      mode: 'up',
      location: 'https://127.0.0.1:2379',
      range: async (key, query) => {
        if (connection.mode === 'cut') throw cut()
        return range(key, query ?? {})
      },
      transact: async ({ compare, success = [], failure = [] }) => {
        if (connection.mode === 'cut') throw cut()
        const succeeded = compare.every(holds)
        const steps = succeeded ? success : failure
        const answers = change(steps)
        if (connection.mode === 'unanswered' && steps.some((step) => !('range' in step))) {
          throw new LatchkeyError('ERR_ETCD_UNCERTAIN', 'no answer')
        }
        return { succeeded, revision, answers }
      },
      watch: async (key, options: WatchOptions) => {
        const tell = (events: readonly EtcdEvent[]): void => {
          if (connection.mode === 'cut') return
          const mine = events.filter(({ entry }) => inRange(entry.key, key, options.rangeEnd))
          if (mine.length > 0) options.onEvents(mine, revision)
        }
        if (options.signal.aborted) return
        watchers.add(tell)
        queueMicrotask(() => options.onLive?.(revision))
        await aborted(options.signal)
        watchers.delete(tell)
      },
      grantLease: async (ttlSeconds) => {
        if (connection.mode === 'cut') throw cut()
        const leaseId = leases.size + 1 + revision * 1_000
        leases.set(leaseId, () => undefined)
        return { leaseId, ttlSeconds }
      },
      keepLease: async ({ leaseId }, { signal }) => {
        if (!leases.has(leaseId)) return 'expired'
        const expired = new Promise<'expired'>((resolve) => {
          leases.set(leaseId, () => {
            resolve('expired')
          })
        })
        return await Promise.race([expired, aborted(signal).then(() => 'stopped' as const)])
      },
      revokeLease: async (leaseId) => {
        if (connection.mode === 'cut') throw cut()
        endLease(leaseId)
      },
      close: () => undefined,
    }
    return connection
  }
  return {
    connect,
    expire: (key) => {
      endLease(entries.get(key)?.leaseId ?? 0)
    },
    get: (key) => entries.get(key)?.value.toString(),
    put: (key, value) => {
      change([{ put: { key, value: Buffer.from(value) } }])
    },
    keys: () => [...entries.keys()].sort(),
    save: () => {
      const saved = new Map(entries)
      const at = revision
      return () => {
        entries = new Map(saved)
        revision = at
        const events = [...entries.values()].map((entry) => ({ type: 'put', entry }) as const)
        for (const watcher of watchers) watcher(events)
      }
    },
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    signal.addEventListener(
      'abort',
      () => {
        resolve()
      },
      { once: true },
    )
  })
}
