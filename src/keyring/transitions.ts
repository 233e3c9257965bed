import { rfc3339 } from '../base/clock.ts'
import { LatchkeyError } from '../base/errors.ts'
import { frameKeyBytes } from '../base/frame.ts'
import { SecretBytes } from '../base/secret.ts'
import type { KeyRecord } from './document.ts'
import { amendKeyring, type NextDocument } from './generations.ts'
import { makeKeyId, type KeyState } from './key.ts'
import type { Keyring } from './keyring.ts'
import { wrapKek, type MakeDeps } from './seal.ts'

/** A transition's outcome: the document to publish, and the key it was about. */
export interface Transition {
  readonly document: NextDocument
  readonly keyId: string
}

/**
 * Adds a new key in state `staged`.
 *
 * @throws `ERR_KEY_STATE` when one is staged already.
 */
export function stageKey(current: Keyring, deps: MakeDeps): Transition {
  const staged = current.keys.find(({ state }) => state === 'staged')
  if (staged !== undefined) {
    throw new LatchkeyError('ERR_KEY_STATE', `key ${staged.id} is staged already`, {
      hint: `run "latchkey keys activate", or give it up with "latchkey keys destroy ${staged.id}"`,
    })
  }
  using material = SecretBytes.take(deps.random(frameKeyBytes))
  const at = rfc3339(deps.now())
  const info = {
    id: makeKeyId(current.generation + 1, deps.random),
    clusterId: current.clusterId,
    state: 'staged' as const,
    createdAt: at,
    changedAt: at,
  }
  const key = current.keyringKey()
  const wrapped = wrapKek(material, { info, body: current.body, key, random: deps.random })
  const keys = [...current.keys, { ...info, wrapped }]
  return { document: amendKeyring(current, { keys, createdAt: at }), keyId: info.id }
}

/**
 * Makes the staged key active and the active key superseded, in one generation.
 *
 * @throws `ERR_KEY_STATE` when no key is staged.
 */
export function activateKey(current: Keyring, deps: MakeDeps): Transition {
  const staged = current.keys.find(({ state }) => state === 'staged')
  if (staged === undefined) {
    throw new LatchkeyError('ERR_KEY_STATE', 'no key is staged', {
      hint: 'run "latchkey keys stage" first, and let every control plane load the staged key',
    })
  }
  const at = rfc3339(deps.now())
  const keys = current.keys.map((key) => {
    if (key.id === staged.id) return { ...key, state: 'active' as const, changedAt: at }
    if (key.state === 'active') return { ...key, state: 'superseded' as const, changedAt: at }
    return key
  })
  return { document: amendKeyring(current, { keys, createdAt: at }), keyId: staged.id }
}

/**
 * Declares a superseded key unneeded. It still decrypts.
 *
 * @throws `ERR_KEY_UNKNOWN`; `ERR_WOULD_LOSE_DATA` when the key is active or staged;
 * `ERR_KEY_STATE` when it is retired or destroyed already.
 */
export function retireKey(current: Keyring, id: string, deps: MakeDeps): Transition {
  const key = requireKey(current, id)
  if (key.state === 'active' || key.state === 'staged') {
    throw new LatchkeyError('ERR_WOULD_LOSE_DATA', `key ${id} is ${key.state}`, {
      hint: 'only a superseded key can be retired: stage and activate another key first',
    })
  }
  if (key.state !== 'superseded') {
    throw new LatchkeyError('ERR_KEY_STATE', `key ${id} is ${key.state} already`)
  }
  return move(current, { id, state: 'retired' }, deps)
}

/**
 * Removes a key's material from the keyring for good; the id stays as a tombstone. For a retired
 * key, or for a staged one that is given up before it ever encrypted.
 *
 * @throws `ERR_KEY_UNKNOWN`; `ERR_WOULD_LOSE_DATA` when the key is active or superseded;
 * `ERR_KEY_STATE` when it is destroyed already.
 */
export function destroyKey(current: Keyring, id: string, deps: MakeDeps): Transition {
  const key = requireKey(current, id)
  if (key.state === 'destroyed') {
    throw new LatchkeyError('ERR_KEY_STATE', `key ${id} is destroyed already`)
  }
  if (key.state === 'active' || key.state === 'superseded') {
    throw new LatchkeyError('ERR_WOULD_LOSE_DATA', `key ${id} is ${key.state}`, {
      hint:
        key.state === 'active'
          ? 'it encrypts everything that is written now: stage and activate another key first'
          : 'retire it first, once nothing in etcd needs it any more',
    })
  }
  return move(current, { id, state: 'destroyed' }, deps)
}

function requireKey(current: Keyring, id: string): KeyRecord {
  const key = current.find(id)
  if (key !== undefined) return key
  throw new LatchkeyError('ERR_KEY_UNKNOWN', 'no key of this id is in the keyring', {
    hint: 'run "latchkey keys list" to see the ids',
  })
}

function move(
  current: Keyring,
  to: { readonly id: string; readonly state: KeyState },
  deps: MakeDeps,
): Transition {
  const changedAt = rfc3339(deps.now())
  const keys = current.keys.map((key) => {
    if (key.id !== to.id) return key
    const wrapped = to.state === 'destroyed' ? undefined : key.wrapped
    return { ...key, state: to.state, changedAt, wrapped }
  })
  return { document: amendKeyring(current, { keys, createdAt: changedAt }), keyId: to.id }
}
