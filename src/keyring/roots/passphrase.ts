import { argon2 } from 'node:crypto'
import { promisify } from 'node:util'
import { toBase64Url } from '../../base/bytes.ts'
import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import { frameKeyBytes, openFrame, sealFrame } from '../../base/frame.ts'
import type { RandomBytes } from '../../base/random.ts'
import { SecretBytes } from '../../base/secret.ts'
import type { RootKey, SlotParams } from '../root.ts'
import { damaged, readSalt, requireParams } from './file.ts'

/** What one try of a passphrase costs (argon2id, RFC 9106 §4: the second recommended option). */
export interface PassphraseCost {
  /** Memory in KiB. Default 65536 (64 MiB), accepted 8 for each lane to 1048576. */
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
 *
 * @throws `ERR_ROOT_INVALID` when `cost` is out of those bounds.
 */
export function passphraseRoot(
  passphrase: SecretBytes,
  deps: { readonly random: RandomBytes; readonly cost?: PassphraseCost },
): RootKey {
  const cost = readCost({ ...(deps.cost ?? defaultPassphraseCost) })
  const derive = async (salt: Uint8Array, tryCost: PassphraseCost): Promise<SecretBytes> => {
    const message = passphrase.expose()
    try {
      return SecretBytes.take(
        await deriveKey('argon2id', {
          message,
          nonce: salt,
          memory: tryCost.memoryKiB,
          passes: tryCost.passes,
          parallelism: tryCost.parallelism,
          tagLength: frameKeyBytes,
        }),
      )
    } catch (error) {
      throw new LatchkeyError('ERR_ROOT_UNAVAILABLE', 'the passphrase could not be stretched', {
        hint: `argon2id needs ${Math.ceil(tryCost.memoryKiB / 1024)} MiB of memory here: free some and try again`,
        cause: error,
      })
    }
  }
  return {
    type: 'passphrase',
    wrap: async (secret, context) => {
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
      requireParams(slot.params, ['salt', 'memoryKiB', 'passes', 'parallelism'])
      const salt = readSalt(slot.params)
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
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
      return value
    }
    throw damaged(`the slot's ${name} is not a whole number from ${min} to ${max}`)
  }
  const parallelism = bounded('parallelism', 1, 16)
  return {
    memoryKiB: bounded('memoryKiB', 8 * parallelism, 1_048_576),
    passes: bounded('passes', 1, 16),
    parallelism,
  }
}
