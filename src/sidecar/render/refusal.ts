import { LatchkeyError } from '../../base/errors.ts'

/**
 * Why a key cannot be written in a format. Names the key and the kind of character, never a value.
 */
export function refuse(key: string, format: string, why: string): LatchkeyError {
  return new LatchkeyError(
    'ERR_NOT_RENDERABLE',
    `key ${JSON.stringify(key)} cannot be written as ${format}: ${why}`,
    { hint: 'publish that key as a file of its own, or choose another format' },
  )
}
