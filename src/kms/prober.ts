import type { Clock } from '../base/clock.ts'
import type { KmsLog } from './events.ts'
import type { KmsHealth } from './findings.ts'
import type { KmsMetrics } from './metrics.ts'
import { selfTest, type KeyTrial } from './self-test.ts'
import type { Serving, Snapshot } from './snapshot.ts'
import type { Keyring } from '../keyring/keyring.ts'

/** What {@link createProber} needs. */
export interface ProberDependencies {
  readonly serving: Serving
  readonly attempt: KeyTrial
  readonly metrics: KmsMetrics
  readonly health: KmsHealth
  readonly log: KmsLog
  readonly clock: Clock
  /** Called with what is served from now on. */
  readonly onServed?: (snapshot: Snapshot) => void
}

/** Tries the keys, before a keyring is served and from then on. */
export interface Prober {
  /** A snapshot of `keyring` with what its self-test found. */
  examine(keyring: Keyring): Snapshot
  /** Serves `snapshot` and says how its keys are. */
  serve(snapshot: Snapshot): void
  /** Tests what is served every 10 seconds until `signal` is aborted, then rejects with its reason. */
  run(signal: AbortSignal): Promise<void>
}

/** Milliseconds between self-tests: an unhealthy plugin is asked about every 10 s by the API server. */
export const probeIntervalMs = 10_000

/** A {@link Prober}. */
export function createProber(deps: ProberDependencies): Prober {
  const examine = (keyring: Keyring): Snapshot => {
    const failed = selfTest(keyring, deps.attempt)
    deps.metrics.selfTested(failed.size)
    const known = deps.serving.snapshot?.unusable
    for (const [keyId, error] of failed) {
      if (known?.has(keyId) === true) continue
      deps.log.error('kms.key_unusable', { keyId, state: keyring.find(keyId)?.state }, error)
    }
    return { keyring, unusable: new Set(failed.keys()) }
  }
  const serve = (next: Snapshot): void => {
    const { keyring, unusable } = next
    const former = deps.serving.snapshot
    deps.serving.replace(next)
    deps.metrics.snapshot(next)
    deps.onServed?.(next)
    const activeFails = unusable.has(keyring.active.id)
    deps.health.set('no-keyring', false)
    deps.health.set('active-key', activeFails)
    deps.health.set('other-key', unusable.size > (activeFails ? 1 : 0))
    for (const keyId of former?.unusable ?? []) {
      if (unusable.has(keyId) || keyring.find(keyId) === undefined) continue
      deps.log.info('kms.key_usable', { keyId })
    }
  }
  return {
    examine,
    serve,
    run: async (signal) => {
      while (!signal.aborted) {
        await deps.clock.sleep(probeIntervalMs, signal)
        const current = deps.serving.snapshot
        if (current === undefined) continue
        const next = examine(current.keyring)
        if (!sameSet(next.unusable, current.unusable)) serve(next)
      }
    },
  }
}

function sameSet(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every((item) => other.has(item))
}
