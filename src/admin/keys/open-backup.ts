import * as fs from 'node:fs/promises'
import { resolve } from 'node:path'
import { isLatchkeyError, LatchkeyError, systemCode } from '../../base/errors.ts'
import { diskError } from '../../clients/disk.ts'
import { maxDocumentBytes, parseDocument } from '../../keyring/document.ts'
import { Keyring } from '../../keyring/keyring.ts'
import type { AdminContext } from '../context.ts'

/** A backup, and what opens it: a passphrase, or shares. */
export interface BackupSource {
  readonly from: string
  readonly passphraseFile?: string | undefined
  /** Files of shares, or `-`, or `fd:N`; each may hold several. */
  readonly share?: readonly string[]
}

/**
 * Opens a backup.
 *
 * @throws `ERR_USAGE` unless exactly one way in is named; `ERR_BACKUP_PASSPHRASE` when the passphrase
 * does not open it; `ERR_SHARE_INVALID`, `_WRONG`, `_FOREIGN` and `ERR_SHARES_TOO_FEW`, naming shares.
 */
export async function openBackup(context: AdminContext, source: BackupSource): Promise<Keyring> {
  const { from, passphraseFile, share = [] } = source
  if ((passphraseFile === undefined) === (share.length === 0)) {
    throw new LatchkeyError('ERR_USAGE', 'name what opens the backup: one way, not both', {
      hint: 'name --passphrase-file, or --share once for each share',
    })
  }
  const bytes = await readDocument(resolve(context.cwd, from))
  const root =
    passphraseFile === undefined
      ? await context.openShares(share)
      : await context.openRoot(`passphrase:${passphraseFile}`)
  try {
    return await Keyring.open(bytes, { roots: [root], kind: 'backup' })
  } catch (error) {
    if (!isLatchkeyError(error, 'ERR_ROOT_WRONG')) throw error
    throw passphraseFile === undefined
      ? noSharesSlot(bytes)
      : new LatchkeyError('ERR_BACKUP_PASSPHRASE', 'the passphrase does not open this backup', {
          hint: 'name the passphrase file that the backup was made with',
        })
  }
}

function noSharesSlot(bytes: Uint8Array): LatchkeyError {
  const { slots } = parseDocument(bytes, 'backup').body
  return slots.some(({ type }) => type === 'shares')
    ? new LatchkeyError('ERR_ROOT_WRONG', 'the shares are good, and the backup was altered', {
        hint: 'put an unaltered copy of the backup in its place',
      })
    : new LatchkeyError('ERR_SHARE_FOREIGN', 'this backup was made without shares', {
        hint: 'name --passphrase-file, or the backup that the shares were made with',
      })
}

/**
 * Reads a backup's bytes, unopened.
 *
 * @throws `ERR_USAGE` when there is none at `path`, or it is too large to be one.
 */
export async function readDocument(path: string): Promise<Uint8Array> {
  try {
    const { size } = await fs.stat(path)
    if (size <= maxDocumentBytes) return new Uint8Array(await fs.readFile(path))
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw diskError(error, path)
    throw new LatchkeyError('ERR_USAGE', `there is no file ${path}`)
  }
  throw new LatchkeyError('ERR_USAGE', `${path} is too large to be a backup`)
}
