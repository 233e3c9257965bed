import * as fs from 'node:fs/promises'
import { sha256Label } from '../../base/bytes.ts'
import { isLatchkeyError, LatchkeyError, systemCode } from '../../base/errors.ts'
import type { RandomBytes } from '../../base/random.ts'
import {
  createFile,
  diskError,
  makeDirectories,
  replaceFile,
  temporaryPrefix,
  type Disk,
} from '../../clients/disk.ts'
import { checkGuard, readGuardedFile, type Guard } from '../../clients/guarded-file.ts'
import { maxDocumentBytes, parseDocument } from '../document.ts'
import type { LineageMark } from '../lineage.ts'
import type { KeyringStore, StoredDocument } from '../store.ts'
import { encodeHighWater, parseHighWater } from './high-water.ts'

const documentPattern = /^keyring\.([0-9]{10})$/
const maxRevision = 9_999_999_999
/** Revisions kept on disk: the current one and the one before it. */
const keptRevisions = 2
const staleTemporaryMs = 3_600_000

/** What a {@link fileStore} needs. */
export interface FileStoreDeps {
  readonly disk: Disk
  readonly random: RandomBytes
  /** The process's user; what root or this user owns is trusted. */
  readonly uid: number
  /** How often a watcher looks even when nothing was announced, in milliseconds. Default 30000. */
  readonly recheckMs?: number
}

/**
 * A keyring in a directory, for exactly one control plane.
 *
 * @remarks
 * Each revision is a file of its own, `keyring.0000000007`, and the highest number is the current
 * one. Publishing gives a finished, fsynced file the next number with link(2), which fails when the
 * number is taken: that is the compare-and-swap, without a lock that a crash could leave behind.
 * No step of it makes the old revision unreadable.
 */
export function fileStore(directory: string, deps: FileStoreDeps): KeyringStore {
  const guard = (title: string): Guard => ({
    uid: deps.uid,
    forbiddenMode: 0o022,
    title,
    code: 'ERR_KEYRING_UNSAFE',
    maxBytes: maxDocumentBytes,
    oversizeCode: 'ERR_KEYRING_EDITED',
  })
  const write = { disk: deps.disk, random: deps.random, mode: 0o600 }
  const pathOf = (revision: number): string =>
    `${directory}/keyring.${String(revision).padStart(10, '0')}`
  const highWaterPath = `${directory}/high-water`

  const checkDirectory = async (): Promise<void> => {
    try {
      checkGuard(await fs.stat(directory), directory, guard('keyring directory'))
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw diskError(error, directory)
    }
  }

  const revisions = async (): Promise<readonly number[]> => {
    const names = await listDirectory(directory)
    return names
      .flatMap((name) => documentPattern.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => b - a)
  }

  const load = async (): Promise<StoredDocument | undefined> => {
    await checkDirectory()
    // A revision may be superseded and removed between listing and reading: look again.
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const [revision] = await revisions()
      if (revision === undefined) return undefined
      const path = pathOf(revision)
      const bytes = await readGuardedFile(path, guard('keyring'))
      if (bytes !== undefined) return { revision, bytes, location: path }
    }
    throw new LatchkeyError('ERR_BUSY', `the keyring in ${directory} changes too fast to be read`, {
      hint: 'try again',
    })
  }

  const publish = async (bytes: Uint8Array, replaces: number | undefined): Promise<void> => {
    const lost = (): LatchkeyError =>
      replaces === undefined ? exists(directory) : conflict(directory)
    if (replaces === undefined) await makeDirectories(directory, { disk: deps.disk, mode: 0o700 })
    await checkDirectory()
    const [current] = await revisions()
    if (current !== replaces) throw lost()
    const revision = (current ?? 0) + 1
    if (revision > maxRevision) throw full(directory)
    if (!(await createFile(pathOf(revision), bytes, write))) throw lost()
    if (await wasOvertaken(revision, bytes)) {
      await deps.disk.unlink(pathOf(revision)).catch(() => undefined)
      throw lost()
    }
    // The new revision is published: failing to tidy must not look like a failed publication.
    await tidy(revision).catch(() => undefined)
  }

  /**
   * Whoever sleeps before the link finds the number free again when others have published past it
   * and tidied up: the current document is then not ours, nor made from ours.
   */
  const wasOvertaken = async (revision: number, bytes: Uint8Array): Promise<boolean> => {
    try {
      const current = await load()
      if (current === undefined || current.revision <= revision) return false
      return !parseDocument(current.bytes, 'keyring').body.ancestors.includes(sha256Label(bytes))
    } catch (error) {
      // What is current is no document, so not made from ours; if it cannot be read, nobody knows.
      return isLatchkeyError(error) && error.code.startsWith('ERR_KEYRING_')
    }
  }

  const tidy = async (current: number): Promise<void> => {
    const old = (await revisions())
      .filter((revision) => revision < current)
      .slice(keptRevisions - 1)
    for (const revision of old) await deps.disk.unlink(pathOf(revision))
    // Ages are told by the files' own times: this machine's clock may have jumped since.
    const { mtimeMs: now } = await fs.stat(pathOf(current))
    for (const name of await listDirectory(directory)) {
      if (!name.startsWith(temporaryPrefix)) continue
      const { mtimeMs } = await fs.stat(`${directory}/${name}`)
      if (now - mtimeMs > staleTemporaryMs) await deps.disk.unlink(`${directory}/${name}`)
    }
  }

  const highWater = async (): Promise<LineageMark | undefined> => {
    const bytes = await readGuardedFile(highWaterPath, {
      ...guard('high-water file'),
      oversizeCode: 'ERR_HIGH_WATER_INVALID',
    })
    return bytes && parseHighWater(bytes, highWaterPath)
  }

  return {
    location: directory,
    load,
    publish: (bytes, { replaces }) => publish(bytes, replaces),
    watch: async (onChange, signal) => {
      const { watchDirectory } = await import('./watch-directory.ts')
      const recheckMs = deps.recheckMs ?? 30_000
      await watchDirectory(directory, { prefix: 'keyring.', onChange, signal, recheckMs })
    },
    highWater,
    raiseHighWater: async (mark) => {
      const former = await highWater()
      if (former?.digest === mark.digest || former?.ancestors.includes(mark.digest) === true) return
      await replaceFile(highWaterPath, encodeHighWater(mark), write)
    },
  }
}

async function listDirectory(directory: string): Promise<readonly string[]> {
  try {
    return await fs.readdir(directory)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw diskError(error, directory)
  }
}

function exists(directory: string): LatchkeyError {
  return new LatchkeyError('ERR_KEYRING_EXISTS', `there is a keyring in ${directory} already`, {
    hint: 'name another directory; a keyring that may have encrypted something is never overwritten',
  })
}

function conflict(directory: string): LatchkeyError {
  return new LatchkeyError(
    'ERR_KEYRING_CONFLICT',
    `the keyring in ${directory} was changed by somebody else meanwhile`,
    { hint: 'nothing was changed by this command: look with "latchkey keys list" and repeat it' },
  )
}

function full(directory: string): LatchkeyError {
  return new LatchkeyError('ERR_KEYRING_FULL', `${directory} has no revision number left`, {
    hint: `remove the file keyring.${maxRevision}, which Latchkey has not made, and put the newest keyring in its place under a lower number`,
  })
}
