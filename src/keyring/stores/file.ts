import { watch as watchFiles } from 'chokidar'
import * as fs from 'node:fs/promises'
import { LatchkeyError, systemCode } from '../../base/errors.ts'
import type { RandomBytes } from '../../base/random.ts'
import {
  createFile,
  diskError,
  replaceFile,
  temporaryPrefix,
  type Disk,
} from '../../clients/disk.ts'
import { checkGuard, readGuardedFile, type Guard } from '../../clients/guarded-file.ts'
import { maxDocumentBytes } from '../document.ts'
import type { KeyringStore, StoredDocument } from '../store.ts'
import { encodeHighWater, parseHighWater } from './high-water.ts'

const documentPattern = /^keyring\.([0-9]{10})$/
/** Revisions kept on disk: the current one and the one before it. */
const keptRevisions = 2
const recheckMs = 30_000
const staleTemporaryMs = 3_600_000

/**
 * A keyring in a directory, for exactly one control plane.
 *
 * @remarks
 * Each revision is a file of its own, `keyring.0000000007`, and the highest number is the current
 * one. Publishing gives a finished, fsynced file the next number with link(2), which fails when the
 * number is taken: that is the compare-and-swap, without a lock that a crash could leave behind.
 * No step of it makes the old revision unreadable.
 */
export function fileStore(
  directory: string,
  deps: { readonly disk: Disk; readonly random: RandomBytes; readonly uid: number },
): KeyringStore {
  const guard = (title: string): Guard => ({
    uid: deps.uid,
    forbiddenMode: 0o022,
    title,
    code: 'ERR_KEYRING_UNSAFE',
    maxBytes: maxDocumentBytes,
  })
  const write = { disk: deps.disk, random: deps.random, mode: 0o600 }
  const pathOf = (revision: number): string =>
    `${directory}/keyring.${String(revision).padStart(10, '0')}`
  const highWaterPath = `${directory}/high-water`

  const revisions = async (): Promise<readonly number[]> => {
    const names = await listDirectory(directory)
    return names
      .flatMap((name) => documentPattern.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => b - a)
  }

  const load = async (): Promise<StoredDocument | undefined> => {
    // A revision may be superseded and removed between listing and reading: look again.
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const [revision] = await revisions()
      if (revision === undefined) return undefined
      checkGuard(await fs.stat(directory), directory, guard('keyring directory'))
      const bytes = await readGuardedFile(pathOf(revision), guard('keyring'))
      if (bytes !== undefined) return { revision, bytes }
    }
    throw new LatchkeyError('ERR_BUSY', `the keyring in ${directory} changes too fast to be read`)
  }

  const tidy = async (current: number): Promise<void> => {
    const old = (await revisions())
      .filter((revision) => revision < current)
      .slice(keptRevisions - 1)
    for (const revision of old) await deps.disk.unlink(pathOf(revision))
    for (const name of await listDirectory(directory)) {
      if (!name.startsWith(temporaryPrefix)) continue
      const { mtimeMs } = await fs.stat(`${directory}/${name}`)
      if (Date.now() - mtimeMs > staleTemporaryMs) await deps.disk.unlink(`${directory}/${name}`)
    }
  }

  return {
    location: directory,
    load,
    publish: async (bytes, { replaces }) => {
      if (replaces === undefined) await makeDirectory(directory, deps.disk)
      const [current] = await revisions()
      if (replaces === undefined && current !== undefined) throw exists(directory)
      if (current !== replaces) throw conflict(directory)
      const revision = (current ?? 0) + 1
      if (!(await createFile(pathOf(revision), bytes, write))) {
        throw replaces === undefined ? exists(directory) : conflict(directory)
      }
      // The new revision is published: failing to tidy must not look like a failed publication.
      await tidy(revision).catch(() => undefined)
    },
    watch: (onChange, signal) => watchDirectory(directory, { onChange, signal }),
    highWater: async () => {
      const bytes = await readGuardedFile(highWaterPath, guard('high-water file'))
      return bytes && parseHighWater(bytes, highWaterPath)
    },
    raiseHighWater: (mark) => replaceFile(highWaterPath, encodeHighWater(mark), write),
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

async function makeDirectory(directory: string, disk: Disk): Promise<void> {
  const parent = directory.slice(0, directory.lastIndexOf('/')) || '/'
  try {
    await disk.mkdir(directory, 0o700)
    await disk.syncDirectory(parent)
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return
    if (systemCode(error) === 'ENOENT') {
      await makeDirectory(parent, disk)
      await makeDirectory(directory, disk)
      return
    }
    throw diskError(error, directory)
  }
}

async function watchDirectory(
  directory: string,
  options: { readonly onChange: () => void; readonly signal: AbortSignal },
): Promise<void> {
  const { onChange, signal } = options
  if (signal.aborted) return
  const watcher = watchFiles(directory, { depth: 0, ignoreInitial: true })
  // Watches can be lost (limits, overflows, a replaced directory): looking again now and then is cheap.
  const timer = setInterval(onChange, recheckMs)
  timer.unref()
  watcher.on('all', (_event, path) => {
    if (path.startsWith(`${directory}/keyring.`) || path === directory) onChange()
  })
  watcher.on('error', () => undefined)
  watcher.on('ready', onChange)
  await new Promise<void>((resolve) => {
    signal.addEventListener(
      'abort',
      () => {
        resolve()
      },
      { once: true },
    )
  })
  clearInterval(timer)
  await watcher.close()
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
