import { timingSafeEqual } from 'node:crypto'
import type { RandomBytes } from '../base/random.ts'
import { openEnvelope, sealEnvelope } from '../keyring/envelope.ts'
import type { Keyring } from '../keyring/keyring.ts'

/** Wraps and unwraps, with one key of a keyring; throws when it cannot. */
export type KeyTrial = (keyring: Keyring, keyId: string) => void

/**
 * Really wraps and unwraps 32 random bytes, as the API server's seed is.
 *
 * @throws whatever the key throws; `TypeError` when something else came back.
 */
export function tryKey(random: RandomBytes): KeyTrial {
  return (keyring, keyId) => {
    const key = keyring.live(keyId)
    const probe = random(32)
    using opened = openEnvelope(sealEnvelope(probe, { key, random }), { key })
    const back = opened.expose()
    if (back.byteLength !== probe.byteLength || !timingSafeEqual(back, probe)) {
      throw new TypeError('the key does not give back what it sealed')
    }
  }
}

/** Tries every key that is not destroyed and returns the ids of those that fail, with the errors. */
export function selfTest(keyring: Keyring, attempt: KeyTrial): ReadonlyMap<string, unknown> {
  const failed = new Map<string, unknown>()
  for (const { id, state } of keyring.keys) {
    if (state === 'destroyed') continue
    try {
      attempt(keyring, id)
    } catch (error) {
      failed.set(id, error)
    }
  }
  return failed
}
