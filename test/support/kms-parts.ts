import { systemClock, type Clock } from '../../src/base/clock.ts'
import { createRandomPool } from '../../src/base/random.ts'
import type { RootKey } from '../../src/keyring/root.ts'
import type { KeyringStore } from '../../src/keyring/store.ts'
import type { KmsEvent } from '../../src/kms/events.ts'
import { KmsHealth } from '../../src/kms/findings.ts'
import { createKmsMetrics } from '../../src/kms/metrics.ts'
import { createProber } from '../../src/kms/prober.ts'
import { createReloader } from '../../src/kms/reload.ts'
import { tryKey, type KeyTrial } from '../../src/kms/self-test.ts'
import { Serving } from '../../src/kms/snapshot.ts'
import { createWitness } from '../../src/kms/witness.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { recordedLog } from './recorded-log.ts'

const random = createRandomPool()

/** The plugin's parts without its socket. */
export interface KmsParts extends ReturnType<typeof assemble> {
  readonly text: () => Promise<string>
}

/** Assembles the parts, over a store if one is given. */
export function kmsParts(options: {
  readonly store?: KeyringStore
  readonly openRoots?: () => Promise<readonly RootKey[]>
  readonly attempt?: KeyTrial
  readonly strict?: boolean
  readonly clock?: Clock
}): KmsParts {
  return assemble(options)
}

function assemble(options: Parameters<typeof kmsParts>[0]) {
  const clock = options.clock ?? systemClock
  const registry = createMetrics()
  const health = new KmsHealth({ strict: options.strict ?? false, clock })
  const serving = new Serving()
  const recorded = recordedLog<KmsEvent>()
  const metrics = createKmsMetrics(registry, {
    version: '0.0.0',
    health,
    inFlight: () => 0,
    now: () => clock.now(),
  })
  const common = { serving, health, metrics, log: recorded.log, clock, random }
  const prober = createProber({ ...common, attempt: options.attempt ?? tryKey(random) })
  const changes = { count: 0 }
  const reloader = createReloader({
    ...common,
    prober,
    store: options.store ?? emptyStore,
    openRoots: options.openRoots ?? (async () => []),
    jitter: () => 0,
    onChange: () => {
      changes.count += 1
    },
  })
  return {
    ...recorded,
    ...common,
    prober,
    reloader,
    changes,
    witness: createWitness(common),
    text: async () => (await registry.expose()).text,
    findings: () => health.findings.map(({ name, severity }) => `${severity} ${name}`),
  }
}

const emptyStore: KeyringStore = {
  location: 'nowhere',
  load: async () => undefined,
  publish: () => Promise.reject(new Error('read only')),
  watch: async () => undefined,
  highWater: async () => undefined,
  raiseHighWater: async () => undefined,
}

/** A clock that stands still until it is moved; sleeps end when it passes them. */
export function heldClock(): Clock & { readonly advance: (ms: number) => Promise<void> } {
  let nowMs = 1_000_000
  const sleepers = new Set<{ readonly at: number; readonly wake: () => void }>()
  return {
    now: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const sleeper = { at: nowMs + ms, wake: resolve }
        sleepers.add(sleeper)
        const abort = (): void => {
          sleepers.delete(sleeper)
          reject(signal.reason as Error)
        }
        if (signal.aborted) abort()
        else signal.addEventListener('abort', abort, { once: true })
      }),
    advance: async (ms) => {
      nowMs += ms
      for (const sleeper of sleepers) {
        if (sleeper.at > nowMs) continue
        sleepers.delete(sleeper)
        sleeper.wake()
      }
      // Let whoever was woken come to its next wait.
      await new Promise((resolve) => setTimeout(resolve, 5))
    },
  }
}
