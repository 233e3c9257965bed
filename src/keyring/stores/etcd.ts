import { sha256Label } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import type { EtcdClient } from '../../clients/etcd/client.ts'
import type { Comparison, Operation } from '../../clients/etcd/messages.ts'
import { prefixEnd } from '../../clients/etcd/messages.ts'
import type { KeyringStore, StoredDocument } from '../store.ts'
import { etcdLayout } from './etcd-layout.ts'
import { etcdMembers } from './etcd-members.ts'
import type { EtcdMembership } from './etcd-membership.ts'
import { keepCopy } from './keep-copy.ts'

/** The calls of an etcd client that a keyring needs. */
export type KeyringEtcd = Pick<
  EtcdClient,
  'location' | 'range' | 'transact' | 'watch' | 'grantLease' | 'keepLease' | 'revokeLease' | 'close'
>

/** What an {@link etcdStore} is made of. */
export interface EtcdStoreDeps {
  readonly etcd: KeyringEtcd
  /** `/latchkey`: without a slash at its end. */
  readonly prefix: string
  readonly clock: Clock
  /** Where this node keeps what it has accepted; without it nothing is remembered. */
  readonly localCopy: KeyringStore | undefined
  /** For a node: it joins before it reads. */
  readonly membership: EtcdMembership | undefined
  /** How often a watcher looks even when nothing was announced, in milliseconds. Default 30000. */
  readonly recheckMs?: number
}

/** How long etcd may take to give the keyring: a node that boots has its own copy to turn to. */
const loadMs = 3_000
/** etcd takes 1.5 MiB in one request by default: where two documents are more, the new one goes alone. */
const maxRequestBytes = 1_400_000

/**
 * A keyring in etcd, for several control planes. The current document is one key, replaced by a
 * transaction that compares the revision of its last write.
 */
export function etcdStore(deps: EtcdStoreDeps): KeyringStore {
  const { etcd, localCopy, membership } = deps
  const keys = etcdLayout(deps.prefix)
  const location = `etcd:${etcd.location}${deps.prefix}`
  /** What was read or written last, to be kept once it is accepted. */
  const seen = new Map<string, Uint8Array>()
  const remember = (bytes: Uint8Array): void => {
    if (localCopy === undefined) return
    const [oldest] = seen.keys()
    if (seen.size > 3 && oldest !== undefined) seen.delete(oldest)
    seen.set(sha256Label(bytes), bytes)
  }

  const read = async (timeoutMs: number): Promise<StoredDocument | undefined> => {
    const { entries } = await etcd.range(keys.keyring, { timeoutMs })
    const [entry] = entries
    if (entry === undefined) return undefined
    const bytes = new Uint8Array(entry.value)
    return { revision: entry.modRevision, bytes, location: `${location}/keyring` }
  }

  const publish: KeyringStore['publish'] = async (bytes, { replaces, members }) => {
    const lost = (): LatchkeyError =>
      replaces === undefined ? exists(location) : conflict(location, members !== undefined)
    const current = await read(2 * loadMs)
    if (current?.revision !== replaces) throw lost()
    const compare: Comparison[] = [
      { key: keys.keyring, target: 'mod', is: '=', value: replaces ?? 0 },
    ]
    if (members !== undefined) compare.push(unchangedSince(keys.members, members))
    const success: Operation[] = [{ put: { key: keys.keyring, value: bytes } }]
    const former = current?.bytes
    if (former !== undefined && former.byteLength + bytes.byteLength < maxRequestBytes) {
      success.push({ put: { key: keys.previous, value: former } })
    }
    try {
      const { succeeded } = await etcd.transact({ compare, success })
      if (!succeeded) throw lost()
    } catch (error) {
      if (!isLatchkeyError(error, 'ERR_ETCD_UNCERTAIN')) throw error
      const now = await read(2 * loadMs).catch(() => undefined)
      if (now === undefined || !Buffer.from(now.bytes).equals(bytes)) throw error
    }
    remember(bytes)
  }

  return {
    location,
    load: async () => {
      const until = deps.clock.monotonicMs() + loadMs
      const leftMs = (): number => Math.max(until - deps.clock.monotonicMs(), 100)
      // Whoever reads before it has joined could miss a key that the others wait for nobody to load.
      await membership?.join(leftMs)
      const stored = await read(leftMs())
      if (stored !== undefined) remember(stored.bytes)
      return stored
    },
    publish,
    watch: (onChange, signal) => watch(deps, keys.keyring, { onChange, signal }),
    highWater: async () => await localCopy?.highWater(),
    raiseHighWater: async (mark) => {
      if (localCopy === undefined) return
      const former = await localCopy.highWater()
      if (former?.ancestors.includes(mark.digest) === true) return
      const bytes = seen.get(mark.digest)
      // First the copy: the mark must not forbid what the disk still holds.
      if (bytes !== undefined) await keepCopy(localCopy, bytes)
      await localCopy.raiseHighWater(mark)
      seen.clear()
    },
    members: etcdMembers({ etcd, keys }),
    ...(membership === undefined ? {} : { membership }),
    ...(localCopy === undefined ? {} : { localCopy }),
    close: () => {
      etcd.close()
    },
  }
}

/** That nothing that begins with `prefix` was written after `revision`. */
function unchangedSince(prefix: string, revision: number): Comparison {
  return {
    key: prefix,
    rangeEnd: prefixEnd(prefix),
    target: 'mod',
    is: '<',
    value: revision + 1,
  }
}

/** A watch that is lost is a reason to look too: whoever looks then learns that etcd is out of reach. */
async function watch(
  { etcd, clock, recheckMs = 30_000 }: EtcdStoreDeps,
  key: string,
  options: { readonly onChange: () => void; readonly signal: AbortSignal },
): Promise<void> {
  const { signal } = options
  const changed = (): void => {
    if (!signal.aborted) options.onChange()
  }
  const recheck = async (): Promise<void> => {
    while (!signal.aborted) {
      await clock.sleep(recheckMs, signal).catch(() => undefined)
      changed()
    }
  }
  const follow = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await etcd.watch(key, { signal, onEvents: changed, onLive: changed, onLost: changed })
      } catch {
        // What was missed is read anew by whoever is called.
        changed()
        await clock.sleep(1_000, signal).catch(() => undefined)
      }
    }
  }
  await Promise.all([recheck(), follow()])
}

function exists(location: string): LatchkeyError {
  return new LatchkeyError('ERR_KEYRING_EXISTS', `there is a keyring in ${location} already`, {
    hint: 'name another prefix; a keyring that may have encrypted something is never overwritten',
  })
}

function conflict(location: string, joined: boolean): LatchkeyError {
  const what = joined ? ', or a node has joined' : ''
  return new LatchkeyError(
    'ERR_KEYRING_CONFLICT',
    `the keyring in ${location} was changed by somebody else meanwhile${what}`,
    { hint: 'nothing was changed by this command: look with "latchkey keys list" and repeat it' },
  )
}
