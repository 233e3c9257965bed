import { utf8 } from '../../base/bytes.ts'
import { LatchkeyError } from '../../base/errors.ts'
import { isAnnexName, maxAnnexEntryBytes } from '../annex.ts'

/** Throws `ERR_USAGE` unless all can be kinds or names of entries. */
export function requireNames(...names: readonly string[]): void {
  if (names.every(isAnnexName)) return
  throw new LatchkeyError('ERR_USAGE', 'the name is not one that an entry can have', {
    hint: 'use at most 64 lower-case letters, digits and "-"',
  })
}

/** An entry's value as one line of JSON. Throws `ERR_USAGE` when it is too large. */
export function encodeEntry(value: unknown): Uint8Array {
  const bytes = utf8(`${JSON.stringify(value)}\n`)
  if (bytes.byteLength <= maxAnnexEntryBytes) return bytes
  throw new LatchkeyError('ERR_USAGE', `an entry has more than ${maxAnnexEntryBytes} bytes`)
}

/** Inverse of {@link encodeEntry}. Throws `ERR_IO` for what it did not write. */
export function parseEntry(text: string | undefined, location: string): unknown {
  try {
    if (text !== undefined) return JSON.parse(text)
  } catch {
    // told below, as what is not text
  }
  throw new LatchkeyError('ERR_IO', `${location} is damaged`, {
    hint: 'move it away: what stands beside the keyring can be made again, and no key depends on it',
  })
}

/** Somebody else holds the lock. */
export function busy(location: string, holder?: string): LatchkeyError {
  return new LatchkeyError('ERR_BUSY', `${holder ?? 'another command'} is at work on ${location}`, {
    hint: 'wait for it to end, or end it; nothing is lost either way',
  })
}
