import * as fs from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { fromUtf8 } from '../../base/bytes.ts'
import { LatchkeyError, systemCode } from '../../base/errors.ts'
import { createFile, diskError, makeDirectories } from '../../clients/disk.ts'
import { checkGuard, readGuardedFile, type Guard } from '../../clients/guarded-file.ts'
import { maxAnnexEntryBytes, type Annex, type AnnexLock } from '../annex.ts'
import { busy, encodeEntry, parseEntry, requireNames } from './annex-entry.ts'
import type { FileStoreDeps } from './file.ts'

/**
 * The annex of a keyring in a directory: one file an entry, in the subdirectory `annex`. Entries
 * are made by link(2), so of any number of writers one wins, and a crash leaves all or nothing.
 */
export function fileAnnex(keyringDirectory: string, deps: FileStoreDeps): Annex {
  const directory = `${keyringDirectory}/annex`
  const guard = (title: string): Guard => ({
    uid: deps.uid,
    forbiddenMode: 0o022,
    title,
    code: 'ERR_KEYRING_UNSAFE',
    maxBytes: maxAnnexEntryBytes,
  })
  const pathOf = (kind: string, name: string): string => `${directory}/${kind}.${name}`

  return {
    location: directory,
    list: async (kind) => {
      requireNames(kind)
      const names = (await namesIn(directory))
        .filter((file) => file.startsWith(`${kind}.`))
        .map((file) => file.slice(kind.length + 1))
        .sort()
      const entries = []
      for (const name of names) {
        const path = pathOf(kind, name)
        const bytes = await readGuardedFile(path, guard('entry'))
        // Removed between listing and reading.
        if (bytes === undefined) continue
        entries.push({ name, value: parseEntry(fromUtf8(bytes), path) })
      }
      return entries
    },
    create: async (kind, name, value) => {
      requireNames(kind, name)
      const bytes = encodeEntry(value)
      await makeDirectories(directory, { disk: deps.disk, mode: 0o700 })
      checkGuard(await fs.stat(directory), directory, guard('directory'))
      return await createFile(pathOf(kind, name), bytes, { ...deps, mode: 0o600 })
    },
    remove: async (kind, name) => {
      requireNames(kind, name)
      try {
        await deps.disk.unlink(pathOf(kind, name))
        await deps.disk.syncDirectory(directory)
        return true
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return false
        throw diskError(error, pathOf(kind, name))
      }
    },
    lock: async (name, _holder) => {
      requireNames(name)
      const { dev, ino } = await fs.stat(keyringDirectory).catch((error: unknown) => {
        throw diskError(error, keyringDirectory)
      })
      return await lockByName(`\0latchkey-${name}-${dev}-${ino}`, directory)
    },
  }
}

/**
 * A lock that the kernel gives back when its holder ends, however it ends: an abstract socket has a
 * name and no file. It excludes others on this machine (in this network namespace), which is where
 * a keyring in a directory is used; the keyring's own compare-and-swap does not depend on it.
 */
async function lockByName(name: string, location: string): Promise<AnnexLock> {
  const server = await new Promise<Server>((resolve, reject) => {
    const made = createServer((socket) => socket.destroy())
    made.once('error', reject)
    made.listen({ path: name }, () => {
      resolve(made)
    })
  }).catch((error: unknown) => {
    if (systemCode(error) === 'EADDRINUSE') throw busy(location)
    throw new LatchkeyError('ERR_IO', `${location} cannot be locked`, { cause: error })
  })
  server.unref()
  return {
    lost: new AbortController().signal,
    release: async () => {
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await fs.readdir(directory)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw diskError(error, directory)
  }
}
