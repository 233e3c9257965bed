import { argon2 } from 'node:crypto'
import { promisify } from 'node:util'
import { toBase64Url } from '../../base/bytes.ts'
import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import { frameKeyBytes, openFrame, sealFrame } from '../../base/frame.ts'
import type { RandomBytes } from '../../base/random.ts'
import { SecretBytes } from '../../base/secret.ts'
import type { RootKey, SlotParams } from '../root.ts'
import { readSalt } from './file.ts'

/** What one try of a passphrase costs (argon2id, RFC 9106 §4: the second recommended option). */
export interface PassphraseCost {
  /** Memory in KiB. Default 65536 (64 MiB), accepted 8 to 1048576. */
  readonly memoryKiB: number
  /** Passes over the memory. Default 3, accepted 1 to 16. */
  readonly passes: number
  /** Lanes. Default 4, accepted 1 to 16. */
  readonly parallelism: number
}

/** Default costs: RFC 9106's choice where memory is limited; about 0.1 s on a server core. */
export const defaultPassphraseCost: PassphraseCost = {
  memoryKiB: 65_536,
  passes: 3,
  parallelism: 4,
}

const deriveKey = promisify(argon2)

/**
 * A root that is a passphrase. Salt and costs are stored in the slot and bounded on reading, so
 * that an altered slot cannot ask for unbounded memory or time.
 */
export function passphraseRoot(
  passphrase: SecretBytes,
  deps: { readonly random: RandomBytes; readonly cost?: PassphraseCost },
): RootKey {
  const derive = async (salt: Uint8Array, cost: PassphraseCost): Promise<SecretBytes> =>
    SecretBytes.take(
      await deriveKey('argon2id', {
        message: passphrase.expose(),
        nonce: salt,
        memory: cost.memoryKiB,
        passes: cost.passes,
        parallelism: cost.parallelism,
        tagLength: frameKeyBytes,
      }),
    )
  return {
    type: 'passphrase',
    wrap: async (secret, context) => {
      const cost = deps.cost ?? defaultPassphraseCost
      const salt = deps.random(16)
      using wrapping = await derive(salt, cost)
      const wrapped = sealFrame(secret.expose(), {
        key: wrapping,
        associatedData: context,
        random: deps.random,
      })
      return { params: { salt: toBase64Url(salt), ...cost }, wrapped }
    },
    unwrap: async (slot, context) => {
      const salt = readSalt(slot.params['salt'])
      using wrapping = await derive(salt, readCost(slot.params))
      try {
        return openFrame(slot.wrapped, { key: wrapping, associatedData: context })
      } catch (error) {
        if (isLatchkeyError(error)) return undefined
        throw error
      }
    },
  }
}

function readCost(params: SlotParams): PassphraseCost {
  const bounded = (name: keyof PassphraseCost, min: number, max: number): number => {
    const value = params[name]
    if (typeof value === 'number' && value >= min && value <= max) return value
    throw new LatchkeyError(
      'ERR_ROOT_INVALID',
      `the slot's ${name} is not a number from ${min} to ${max}`,
      { hint: 'the keyring was edited or damaged: put an unaltered copy back' },
    )
  }
  const parallelism = bounded('parallelism', 1, 16)
  return {
    memoryKiB: bounded('memoryKiB', 8 * parallelism, 1_048_576),
    passes: bounded('passes', 1, 16),
    parallelism,
  }
}
