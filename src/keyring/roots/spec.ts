import { LatchkeyError } from '../../base/errors.ts'

/** A `--root` taken apart. */
export type RootSpec = { readonly type: 'file' | 'passphrase' } & (
  | { readonly from: 'path'; readonly path: string }
  | { readonly from: 'credential'; readonly name: string }
  | { readonly from: 'descriptor'; readonly descriptor: number }
)

const forms =
  'use file:FILE, file:credential:NAME, passphrase:FILE, passphrase:fd:N or passphrase:credential:NAME'

/**
 * Reads a `--root`: where the root is, never the root itself.
 *
 * @throws `ERR_USAGE`. The text is not repeated, in case it is the passphrase itself.
 */
export function parseRootSpec(text: string): RootSpec {
  const colon = text.indexOf(':')
  const type = text.slice(0, Math.max(colon, 0))
  const rest = text.slice(colon + 1)
  if (type !== 'file' && type !== 'passphrase') {
    throw new LatchkeyError('ERR_USAGE', 'the root is of no known type', { hint: forms })
  }
  if (rest === '') {
    throw new LatchkeyError('ERR_USAGE', `the root "${type}:" names nothing`, { hint: forms })
  }
  if (rest.includes('\0')) {
    throw new LatchkeyError('ERR_USAGE', `the root "${type}:" has a NUL in its path`)
  }
  if (rest.startsWith('credential:')) {
    const name = rest.slice('credential:'.length)
    if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/.test(name)) return { type, from: 'credential', name }
    throw new LatchkeyError(
      'ERR_USAGE',
      'the name of the credential is not one that systemd takes',
      { hint: 'use letters, digits, ".", "_" and "-", as in LoadCredential=NAME:PATH' },
    )
  }
  if (rest.startsWith('fd:')) {
    if (type === 'file') {
      throw new LatchkeyError('ERR_USAGE', 'a root file cannot be given by descriptor', {
        hint: `${forms}; for a file that is really named so write file:./fd:…`,
      })
    }
    const descriptor = /^fd:([0-9]{1,5})$/.exec(rest)?.[1]
    if (descriptor !== undefined)
      return { type, from: 'descriptor', descriptor: Number(descriptor) }
    throw new LatchkeyError('ERR_USAGE', 'the descriptor is not a number', { hint: forms })
  }
  return { type, from: 'path', path: rest }
}
