import { fromUtf8, utf8 } from '../../base/bytes.ts'
import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import { prefixEnd } from '../../clients/etcd/messages.ts'
import type { Annex, AnnexLock } from '../annex.ts'
import { busy, encodeEntry, parseEntry, requireNames } from './annex-entry.ts'
import type { KeyringEtcd } from './etcd.ts'

/** How long a lock outlives its holder, in seconds. */
export const lockTtlSeconds = 15

/**
 * The annex of a keyring in etcd: one key an entry, below `PREFIX/annex/`. A lock is a key that
 * hangs on a lease, so it goes when its holder has been silent for {@link lockTtlSeconds}.
 */
export function etcdAnnex(client: KeyringEtcd, prefix: string): Annex {
  const base = `${prefix}/annex`
  const keyOf = (kind: string, name: string): string => `${base}/${kind}/${name}`
  const location = `${client.location}${base}`

  const create = async (key: string, value: Uint8Array, leaseId?: number): Promise<boolean> => {
    const { succeeded } = await client.transact({
      compare: [{ key, target: 'create', is: '=', value: 0 }],
      success: [{ put: { key, value, ...(leaseId === undefined ? {} : { leaseId }) } }],
    })
    return succeeded
  }
  const read = async (key: string): Promise<string | undefined> => {
    const [entry] = (await client.range(key)).entries
    return entry && fromUtf8(entry.value)
  }

  return {
    location,
    list: async (kind) => {
      requireNames(kind)
      const start = `${base}/${kind}/`
      const { entries } = await client.range(start, { rangeEnd: prefixEnd(start) })
      return entries.map(({ key, value }) => ({
        name: key.slice(start.length),
        value: parseEntry(fromUtf8(value), key),
      }))
    },
    create: async (kind, name, value) => {
      requireNames(kind, name)
      const key = keyOf(kind, name)
      const bytes = encodeEntry(value)
      try {
        return await create(key, bytes)
      } catch (error) {
        if (!isLatchkeyError(error, 'ERR_ETCD_UNCERTAIN')) throw error
        // Entries never change, so what is there now tells whether this write was made.
        const found = await read(key)
        if (found === undefined) return await create(key, bytes)
        return found === fromUtf8(bytes)
      }
    },
    remove: async (kind, name) => {
      requireNames(kind, name)
      const key = keyOf(kind, name)
      const { succeeded } = await client.transact({
        compare: [{ key, target: 'version', is: '>', value: 0 }],
        success: [{ delete: { key } }],
      })
      return succeeded
    },
    lock: async (name, holder) => {
      requireNames(name)
      const key = `${prefix}/lock/${name}`
      const lease = await client.grantLease(lockTtlSeconds)
      try {
        if (!(await create(key, utf8(holder), lease.leaseId))) {
          throw busy(location, await read(key))
        }
      } catch (error) {
        await client.revokeLease(lease.leaseId).catch(() => undefined)
        throw error
      }
      return hold(client, lease)
    },
    close: () => {
      client.close()
    },
  }
}

/** Keeps a lock's lease alive until it is released. */
function hold(
  client: KeyringEtcd,
  lease: Awaited<ReturnType<KeyringEtcd['grantLease']>>,
): AnnexLock {
  const lost = new AbortController()
  const released = new AbortController()
  const kept = client.keepLease(lease, { signal: released.signal }).then(
    (end) => {
      if (end === 'expired') lost.abort(lostLock())
    },
    () => {
      lost.abort(lostLock())
    },
  )
  return {
    lost: lost.signal,
    release: async () => {
      released.abort()
      await kept
      // What cannot be revoked now expires by itself.
      await client.revokeLease(lease.leaseId).catch(() => undefined)
    },
  }
}

function lostLock(): LatchkeyError {
  return new LatchkeyError('ERR_BUSY', 'the lock was lost: etcd was not reached for too long', {
    hint: 'repeat the command, which goes on where it was',
  })
}
