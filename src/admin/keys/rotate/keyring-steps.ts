import { toBase64Url } from '../../../base/bytes.ts'
import { LatchkeyError } from '../../../base/errors.ts'
import type { RandomBytes } from '../../../base/random.ts'
import type { Keyring } from '../../../keyring/keyring.ts'
import type { MakeDeps } from '../../../keyring/seal.ts'
import {
  activateKey,
  destroyKey,
  retireKey,
  stageKey,
  type Transition,
} from '../../../keyring/transitions.ts'
import type { OpenRotation } from './journal.ts'
import { persist } from './persist.ts'
import type { RotationPorts } from './ports.ts'
import { refuseOlder } from '../acknowledged.ts'
import { missingMembers, refuseActivation } from './members.ts'

/** What the steps that change the keyring need besides the ports. */
export interface KeyringStepOptions {
  readonly make: MakeDeps
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** The rotation to go on with: the one that was interrupted, or a new one. */
export async function beginRotation(
  ports: RotationPorts,
  random: RandomBytes,
): Promise<OpenRotation> {
  using current = await ports.keyring.open()
  const { keyring } = current
  const open = await ports.journal.open()
  if (open !== undefined) {
    if (!isOvertaken(open, keyring)) return open
    // Somebody has gone on by hand, or with another tool: what is left to do is a new rotation's.
    await ports.journal.add(open.id, { what: 'overtaken' })
  }
  const id = toBase64Url(random(9))
  const former = keyring.active.id
  await ports.journal.add(id, { what: 'begun', former, generation: keyring.generation })
  const begun = await ports.journal.open()
  if (begun?.id === id) return begun
  throw new LatchkeyError('ERR_BUSY', 'another rotation has begun at the same time')
}

/** Whether the keyring shows that the rotation's key is neither staged nor active any more. */
export function isOvertaken(rotation: OpenRotation, keyring: Keyring): boolean {
  if (rotation.keyId !== undefined) {
    const state = keyring.find(rotation.keyId)?.state
    return state !== 'staged' && state !== 'active'
  }
  return keyring.active.id !== rotation.former
}

/** The rotation's key: staged now, or found staged. Returns its id. */
export async function stage(
  ports: RotationPorts,
  rotation: OpenRotation,
  options: KeyringStepOptions,
): Promise<string> {
  if (rotation.keyId !== undefined) return rotation.keyId
  return await persist(ports, { step: 'stage', ...options }, async () => {
    using current = await ports.keyring.open()
    const found = current.keyring.keys.find(({ state }) => state === 'staged')
    let keyId = found?.id
    if (keyId === undefined) {
      const transition = stageKey(current.keyring, options.make)
      await ports.keyring.commit(current, transition)
      keyId = transition.keyId
    }
    // Killed before this line, the next run finds the key staged and takes it for its own.
    await ports.journal.add(rotation.id, { what: 'staged', keyId, found: found !== undefined })
    return keyId
  })
}

/**
 * Makes the staged key active, in the same breath as every member is found to have it: the set of
 * members and the keyring are part of the condition under which it is published.
 *
 * @throws `ERR_WOULD_LOSE_DATA` naming the members that lack it.
 */
export async function activate(
  ports: RotationPorts,
  rotation: OpenRotation & { readonly keyId: string },
  options: KeyringStepOptions,
): Promise<void> {
  await persist(ports, { step: 'activate', ...options }, async () => {
    using current = await ports.keyring.open()
    const { keyring } = current
    if (keyring.find(rotation.keyId)?.state === 'active') return
    const transition = activateKey(keyring, options.make)
    if (transition.keyId !== rotation.keyId) throw overtaken()
    const { members, revision } = await ports.membership.check(keyring)
    const missing = missingMembers(members)
    if (missing.length > 0 || members.length === 0) throw refuseActivation(missing)
    await ports.keyring.commit(current, transition, revision)
    await ports.journal.add(rotation.id, { what: 'activated', keyId: rotation.keyId })
  })
}

/** Retires every key of `keyIds` that is superseded. Returns those that are retired now. */
export async function retire(
  ports: RotationPorts,
  keyIds: readonly string[],
  options: KeyringStepOptions,
): Promise<readonly string[]> {
  for (const keyId of keyIds) {
    await persist(ports, { step: 'retire', ...options }, async () => {
      using current = await ports.keyring.open()
      if (current.keyring.find(keyId)?.state !== 'superseded') return
      await ports.keyring.commit(current, retireKey(current.keyring, keyId, options.make))
    })
  }
  return keyIds
}

/**
 * Gives a rotation up: destroys its staged key, which has never encrypted anything.
 *
 * @returns the key's id, or `undefined` when there was nothing to give up.
 * @throws `ERR_KEY_STATE` when the key is active already; `ERR_KEYRING_ROLLED_BACK` when a member has
 * acknowledged a later keyring.
 */
export async function abortRotation(
  ports: RotationPorts,
  options: KeyringStepOptions,
): Promise<string | undefined> {
  return await persist(ports, { step: 'stage', ...options }, async () => {
    using current = await ports.keyring.open()
    const open = await ports.journal.open()
    const staged = current.keyring.keys.find(({ state }) => state === 'staged')
    if (staged !== undefined) {
      await requireNewest(ports, current.keyring)
      const transition: Transition = destroyKey(current.keyring, staged.id, options.make)
      await ports.keyring.commit(current, transition)
    } else if (open !== undefined && current.keyring.active.id !== open.former) {
      throw new LatchkeyError(
        'ERR_KEY_STATE',
        `the new key ${current.keyring.active.id} is active already: objects may be encrypted with it`,
        { hint: 'the only way is forward: repeat the command without --abort' },
      )
    }
    if (open !== undefined) await ports.journal.add(open.id, { what: 'aborted' })
    return staged?.id
  })
}

/** In a keyring that was taken back a key may lie staged that was activated since. */
async function requireNewest(ports: RotationPorts, keyring: Keyring): Promise<void> {
  const { members } = await ports.membership.check(keyring)
  const ahead = members.filter(
    ({ ready, generation }) => !ready && (generation ?? 0) >= keyring.generation,
  )
  if (ahead.length > 0) throw refuseOlder(keyring, ahead)
}

/** The refusal to go on where somebody else has staged or activated another key. */
export function overtaken(): LatchkeyError {
  return new LatchkeyError(
    'ERR_KEY_STATE',
    'the newest key is another than this rotation began with',
    {
      hint: 'somebody else changes the keyring: see "latchkey keys list", and repeat the command',
    },
  )
}
