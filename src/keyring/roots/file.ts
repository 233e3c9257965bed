import { hkdfSync } from 'node:crypto'
import { fromBase64Url, toBase64Url } from '../../base/bytes.ts'
import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import { frameKeyBytes, openFrame, sealFrame } from '../../base/frame.ts'
import type { RandomBytes } from '../../base/random.ts'
import { SecretBytes } from '../../base/secret.ts'
import type { RootKey, SlotParams } from '../root.ts'

const saltBytes = 16

/**
 * A root of 32 random bytes, as read from a file. Each slot is wrapped under a key of its own,
 * derived with the slot's salt (HKDF-SHA-256), so that one root file may serve several keyrings.
 */
export function fileRoot(key: SecretBytes, deps: { readonly random: RandomBytes }): RootKey {
  const derive = (salt: Uint8Array): SecretBytes =>
    SecretBytes.take(
      new Uint8Array(hkdfSync('sha256', key.expose(), salt, 'latchkey/root/file/1', frameKeyBytes)),
    )
  return {
    type: 'file',
    wrap: async (secret, context) => {
      const salt = deps.random(saltBytes)
      using wrapping = derive(salt)
      const wrapped = sealFrame(secret.expose(), {
        key: wrapping,
        associatedData: context,
        random: deps.random,
      })
      return { params: { salt: toBase64Url(salt) }, wrapped }
    },
    unwrap: async (slot, context) => {
      requireParams(slot.params, ['salt'])
      const salt = readSalt(slot.params)
      using wrapping = derive(salt)
      try {
        return openFrame(slot.wrapped, { key: wrapping, associatedData: context })
      } catch (error) {
        if (isLatchkeyError(error)) return undefined
        throw error
      }
    },
  }
}

/** A slot's salt. Throws `ERR_ROOT_INVALID` unless it is 16 bytes in base64url. */
export function readSalt(params: SlotParams): Uint8Array {
  const value = params['salt']
  const salt = typeof value === 'string' ? fromBase64Url(value) : undefined
  if (salt?.byteLength === saltBytes) return salt
  throw damaged("the slot's salt is not 16 bytes in base64url")
}

/** Throws `ERR_ROOT_INVALID` unless a slot has these parameters and no others. */
export function requireParams(params: SlotParams, names: readonly string[]): void {
  const unknown = Object.keys(params).find((name) => !names.includes(name))
  if (unknown !== undefined) throw damaged(`the slot has an unknown parameter, ${unknown}`)
}

/** `ERR_ROOT_INVALID` for a slot whose parameters are none of ours. */
export function damaged(message: string): LatchkeyError {
  return new LatchkeyError('ERR_ROOT_INVALID', message, {
    hint: 'the keyring was edited or damaged: put an unaltered copy back',
  })
}
