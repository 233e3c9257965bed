import { sha256Label } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { Doorbell } from '../base/doorbell.ts'
import { isLatchkeyError, LatchkeyError, type ErrorCode } from '../base/errors.ts'
import { backoffMs, type Backoff } from '../base/retry.ts'
import type { Keyring } from '../keyring/keyring.ts'
import { checkLineage } from '../keyring/lineage.ts'
import { loadKeyring, markOf } from '../keyring/load.ts'
import type { RootKey } from '../keyring/root.ts'
import type { KeyringStore, StoredDocument } from '../keyring/store.ts'
import type { KmsLog } from './events.ts'
import type { KmsHealth } from './findings.ts'
import type { KmsMetrics } from './metrics.ts'
import type { Prober } from './prober.ts'
import type { Serving, Snapshot } from './snapshot.ts'

/** What {@link createReloader} needs. */
export interface ReloaderDependencies {
  readonly store: KeyringStore
  /** Opens the roots; asked anew for each keyring, so that a replaced root file is noticed. */
  readonly openRoots: () => Promise<readonly RootKey[]>
  readonly serving: Serving
  readonly prober: Prober
  readonly metrics: KmsMetrics
  readonly health: KmsHealth
  readonly log: KmsLog
  readonly clock: Clock
  /** Called when another keyring is served, or another reason not to. */
  readonly onChange: () => void
  /** Uniform in [0, 1). */
  readonly jitter: () => number
}

/** Keeps what is served equal to what the store holds, as long as that is good. */
export interface Reloader {
  /** Looks once, or joins a look that is under way. Returns whether what is served is what the store holds. */
  readonly reload: () => Promise<boolean>
  /** Asks for a look soon. */
  readonly trigger: () => void
  /** Looks whenever triggered, and again and again after a failure, until `signal` is aborted. */
  readonly run: (signal: AbortSignal) => Promise<void>
}

const retryBackoff: Backoff = { initialMs: 500, maxMs: 5_000, factor: 2 }

/** How often the same refusal is logged again: once in ten minutes. */
const repeatLogMs = 600_000

/** A {@link Reloader}. */
export function createReloader(deps: ReloaderDependencies): Reloader {
  const { serving, metrics, log } = deps
  let refusal: { readonly about: string; readonly loggedAtMs: number } | undefined
  let outage = false
  const bell = new Doorbell()

  const refuse = (error: unknown): void => {
    const code = codeOf(error)
    metrics.reloaded(code)
    const { snapshot } = serving
    deps.health.set('no-keyring', snapshot === undefined)
    outage = isOutage(code)
    const noRoot = code.startsWith('ERR_ROOT_')
    deps.health.set('root-unavailable', noRoot)
    deps.health.set('keyring-refused', !noRoot && !outage && snapshot !== undefined)
    deps.health.set('unconfirmed', outage && snapshot !== undefined)
    const about = `${code} ${error instanceof Error ? error.message : ''}`
    const nowMs = deps.clock.monotonicMs()
    if (refusal?.about === about && nowMs - refusal.loggedAtMs < repeatLogMs) return
    refusal = { about, loggedAtMs: nowMs }
    const fields = { location: deps.store.location, serving: snapshot?.keyring.generation }
    if (outage) log.warn('kms.keyring_unconfirmed', fields, error)
    else log.error('kms.keyring_refused', fields, error)
    deps.onChange()
  }
  const accept = (result: 'loaded' | 'unchanged'): void => {
    metrics.reloaded(result)
    deps.health.set('keyring-refused', false)
    deps.health.set('root-unavailable', false)
    deps.health.set('unconfirmed', false)
    if (refusal === undefined) return
    refusal = undefined
    if (result === 'loaded') return
    const event = outage ? 'kms.keyring_confirmed' : 'kms.keyring_mended'
    log.info(event, { generation: serving.snapshot?.keyring.generation })
    deps.onChange()
  }
  const look = async (): Promise<boolean> => {
    try {
      const stored = await deps.store.load()
      if (stored !== undefined && isServed(stored, serving)) {
        accept('unchanged')
        return true
      }
      // That the store is empty tells more than that a root is missing as well.
      const roots = stored === undefined ? [] : await deps.openRoots()
      const { keyring } = await load(deps, roots)
      accept('loaded')
      log.info('kms.keyring_loaded', {
        generation: keyring.generation,
        keyId: keyring.active.id,
        keys: keyring.keys.filter(({ state }) => state !== 'destroyed').length,
        keyringId: keyring.keyringId,
      })
      deps.onChange()
      return true
    } catch (error) {
      if (serving.snapshot === undefined) await serveLocalCopy(deps)
      refuse(error)
      return false
    }
  }
  let looking: Promise<boolean> | undefined
  const reload = (): Promise<boolean> => {
    looking ??= look().finally(() => {
      looking = undefined
    })
    return looking
  }
  return {
    reload,
    trigger: () => {
      bell.ring()
    },
    run: async (signal) => {
      let failures = serving.snapshot === undefined ? 1 : 0
      for (;;) {
        const ms = failures === 0 ? undefined : backoffMs(retryBackoff, failures - 1, deps.jitter)
        await bell.wait({ signal, clock: deps.clock, ...(ms === undefined ? {} : { ms }) })
        // What is under way may have read the store before it was changed.
        await looking
        if (signal.aborted) return
        failures = (await reload()) ? 0 : failures + 1
      }
    },
  }
}

function isServed(stored: StoredDocument, { snapshot }: Serving): boolean {
  return sha256Label(stored.bytes) === snapshot?.keyring.digest
}

/** Loads, tests, records and serves what the store, or this node's own copy of it, holds. */
async function load(
  deps: ReloaderDependencies,
  roots: readonly RootKey[],
  from = deps.store,
): Promise<Snapshot> {
  const keyring = await loadKeyring(from, { roots })
  try {
    const former = deps.serving.snapshot
    // The high-water file says the same, unless somebody removed it while we were running.
    checkLineage(keyring, former === undefined ? undefined : markOf(former.keyring))
    const next = deps.prober.examine(keyring)
    if (former !== undefined && next.unusable.has(keyring.active.id)) throw unusable()
    await record(keyring, from)
    deps.prober.serve(next)
    return next
  } catch (error) {
    keyring[Symbol.dispose]()
    throw error
  }
}

/**
 * Whatever the store's trouble is, this node's own copy is what it has accepted last: with it a node
 * that boots does what it did before. It never is older than what the node has used.
 */
async function serveLocalCopy(deps: ReloaderDependencies): Promise<void> {
  const { localCopy } = deps.store
  if (localCopy === undefined) return
  try {
    if ((await localCopy.load()) === undefined) return
    const { keyring } = await load(deps, await deps.openRoots(), localCopy)
    const { generation, active } = keyring
    deps.log.warn('kms.local_copy_served', { generation, keyId: active.id })
  } catch (error) {
    deps.log.error('kms.local_copy_refused', {}, error)
  }
}

/** Makes the keyring durable before anything is encrypted with it; on a full disk, one that is so already will do. */
async function record(keyring: Keyring, store: KeyringStore): Promise<void> {
  const mark = await store.highWater()
  const isShared = store.localCopy !== undefined
  if (isShared || mark?.digest !== keyring.digest) await store.raiseHighWater(markOf(keyring))
}

function unusable(): LatchkeyError {
  return new LatchkeyError('ERR_KEY_UNUSABLE', 'the active key of the new keyring does not work', {
    hint: 'look at the keyring with "latchkey keys list" and at this machine’s memory',
  })
}

function codeOf(error: unknown): ErrorCode | 'ERR_UNKNOWN' {
  return isLatchkeyError(error) ? error.code : 'ERR_UNKNOWN'
}

/** The store could not be asked, which says nothing of what is in it. */
function isOutage(code: string): boolean {
  return code.startsWith('ERR_ETCD_') || code.startsWith('ERR_MEMBER_') || code === 'ERR_BUSY'
}
