import type { Clock } from '../base/clock.ts'
import { splitEnvelopeV1 } from '../keyring/envelope.ts'
import type { KeyInfo } from '../keyring/key.ts'
import { createRateLimit } from '../observe/rate-limit.ts'
import type { KmsLog } from './events.ts'
import type { KmsHealth } from './findings.ts'
import type { KmsMetrics } from './metrics.ts'
import { judgeUnknownKey } from './service.ts'
import type { Serving } from './snapshot.ts'

/** Notices what requests tell about the keys in use: beyond their answers, for the administrator. */
export interface Witness {
  /** A ciphertext was opened with `key`. */
  opened(key: KeyInfo): void
  /** Decrypt named a key that the keyring never had. */
  unknownKey(keyId: string): void
  /** As {@link Witness.unknownKey}, with the key id inside a v1beta1 ciphertext. */
  unknownKeyInside(ciphertext: Uint8Array): void
}

const logIntervalMs = 60_000

/** A {@link Witness} that counts, logs each thing once a minute, and marks health. */
export function createWitness(deps: {
  readonly serving: Serving
  readonly metrics: KmsMetrics
  readonly health: KmsHealth
  readonly log: KmsLog
  readonly clock: Clock
}): Witness {
  const seldom = createRateLimit({ intervalMs: logIntervalMs, clock: deps.clock })
  const unknownKey = (keyId: string): void => {
    const kind = judgeUnknownKey(keyId, deps.serving.snapshot?.keyring ?? { generation: 0 })
    deps.metrics.unknownKey(kind)
    if (kind !== 'foreign-form') deps.health.setForAWhile(kind)
    // Whoever writes etcd can invent key ids: the log is limited by kind, and foreign text kept out.
    const admitted = seldom.admit(kind)
    if (admitted === undefined) return
    const shown = kind === 'foreign-form' ? undefined : keyId
    deps.log.warn('kms.unknown_key', { kind, keyId: shown, ...admitted })
  }
  return {
    opened: ({ id, state }) => {
      if (state !== 'retired') return
      deps.metrics.retiredKeyUsed(id)
      const admitted = seldom.admit(id)
      if (admitted !== undefined) deps.log.warn('kms.retired_key_used', { keyId: id, ...admitted })
    },
    unknownKey,
    unknownKeyInside: (ciphertext) => {
      unknownKey(splitEnvelopeV1(ciphertext).keyId)
    },
  }
}
