import { join, resolve } from 'node:path'
import { LatchkeyError } from '../../base/errors.ts'
import { createFile, makeDirectories } from '../../clients/disk.ts'
import { parseDocument } from '../../keyring/document.ts'
import { Keyring } from '../../keyring/keyring.ts'
import type { RootKey } from '../../keyring/root.ts'
import type { AdminContext } from '../context.ts'
import { print, type OutputFormat } from '../output.ts'
import { readDocument } from './open-backup.ts'

/** Shares that lie on the disk, to be handed out. */
export interface WrittenShares {
  readonly root: RootKey
  readonly threshold: number
  /** In the order of their numbers. */
  readonly paths: readonly string[]
}

/**
 * Makes a root, splits it, and writes each share to a file of its own, mode 0600. The shares are on
 * the disk before the backup that they open is.
 *
 * @throws `ERR_USAGE` for numbers out of bounds, and when a file exists.
 */
export async function writeShares(
  context: AdminContext,
  options: { readonly count: number; readonly threshold: number; readonly directory: string },
): Promise<WrittenShares> {
  const { count, threshold } = options
  const directory = resolve(context.cwd, options.directory)
  const { root, group, shares } = await context.splitRoot({ count, threshold })
  await makeDirectories(directory, { disk: context.disk, mode: 0o700 })
  const paths: string[] = []
  try {
    for (const { index, text } of shares) {
      const path = join(directory, `share-${group}-${index}-of-${count}.txt`)
      if (!(await createFile(path, text.expose(), { ...context, mode: 0o600 }))) {
        throw new LatchkeyError('ERR_USAGE', `${path} exists already`, {
          hint: 'name an empty directory for the shares',
        })
      }
      paths.push(path)
    }
  } finally {
    for (const { text } of shares) text[Symbol.dispose]()
  }
  return { root, threshold, paths }
}

/**
 * Opens a backup with shares as they were written, so often that each share is used.
 *
 * @throws as {@link Keyring.open}, and what is wrong with a share.
 */
export async function openWithShares(
  context: AdminContext,
  backup: Uint8Array,
  { paths, threshold }: Pick<WrittenShares, 'paths' | 'threshold'>,
): Promise<void> {
  for (let from = 0; from < paths.length; from += threshold) {
    const start = Math.min(from, paths.length - threshold)
    const root = await context.openShares(paths.slice(start, start + threshold))
    using _check = await Keyring.open(backup, { roots: [root], kind: 'backup' })
  }
}

/** Flags of `latchkey keys shares`. */
export interface SharesFlags {
  readonly from: string
  readonly share: readonly string[]
  readonly output: OutputFormat
}

/**
 * `latchkey keys shares`: holds shares against a backup without joining them, so that each holder can
 * try their own alone.
 *
 * @returns Whether all of them are good.
 * @throws `ERR_SHARE_INVALID` for a text that is no share; `ERR_SHARE_FOREIGN` when the backup was
 * made without shares.
 */
export async function keysShares(context: AdminContext, flags: SharesFlags): Promise<boolean> {
  const bytes = await readDocument(resolve(context.cwd, flags.from))
  const { slots } = parseDocument(bytes, 'backup').body
  const root = await context.openShares(flags.share)
  const slot = slots.find(({ type }) => type === root.type)
  if (slot === undefined) {
    throw new LatchkeyError('ERR_SHARE_FOREIGN', 'this backup was made without shares', {
      hint: 'name the backup that the shares were made with',
    })
  }
  const findings = root.inspect(slot)
  await print(context.terminal, {
    format: flags.output,
    value: { shares: findings },
    table: () => [
      ['SHARE', 'GROUP', 'STATE', 'FROM'],
      ...findings.map(({ index, group, state, source }) => [String(index), group, state, source]),
    ],
  })
  const good = findings.filter(({ state }) => state === 'good').length
  const { threshold, shares } = slot.params
  context.terminal.say(`${good} good; any ${threshold ?? '?'} of ${shares ?? '?'} open the backup`)
  return findings.every(({ state }) => state === 'good')
}
