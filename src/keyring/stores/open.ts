import { resolve } from 'node:path'
import { LatchkeyError } from '../../base/errors.ts'
import type { RandomBytes } from '../../base/random.ts'
import type { Disk } from '../../clients/disk.ts'
import type { Annex } from '../annex.ts'
import type { KeyringStore } from '../store.ts'

/** What stores need from the process that opens them. */
export interface StoreDeps {
  readonly disk: Disk
  readonly random: RandomBytes
  /** The process's user; what root or this user owns is trusted. */
  readonly uid: number
  /** Base of relative paths. */
  readonly cwd: string
}

/**
 * Opens the store that `--keyring` names: a directory.
 *
 * @throws `ERR_USAGE` when the name is empty, or a URL, which would make an oddly named directory.
 */
export async function openStore(name: string, deps: StoreDeps): Promise<KeyringStore> {
  if (name === '') {
    throw new LatchkeyError('ERR_USAGE', '--keyring is empty', { hint: 'name a directory' })
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(name) || name.includes('\0')) {
    throw new LatchkeyError('ERR_USAGE', '--keyring is not the path of a directory', {
      hint: 'this release keeps keyrings in directories: name one, such as /var/lib/latchkey/keyring',
    })
  }
  const { fileStore } = await import('./file.ts')
  return fileStore(resolve(deps.cwd, name), deps)
}

/** Opens what stands beside the keyring that `--keyring` names. Throws as {@link openStore}. */
export async function openAnnex(name: string, deps: StoreDeps): Promise<Annex> {
  // Refuses what is no name of a keyring.
  await openStore(name, deps)
  const { fileAnnex } = await import('./annex-file.ts')
  return fileAnnex(resolve(deps.cwd, name), deps)
}
