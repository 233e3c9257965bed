import { sha256Label } from '../../base/bytes.ts'
import { isLatchkeyError } from '../../base/errors.ts'
import { makeDirectories } from '../../clients/disk.ts'
import type { KeyringStore } from '../store.ts'
import { fileStore, type FileStoreDeps } from './file.ts'

/** A node's own copy of a keyring that lies elsewhere: a keyring directory, made when it is needed. */
export function copyStore(directory: string, deps: FileStoreDeps): KeyringStore {
  const files = fileStore(directory, deps)
  return {
    ...files,
    raiseHighWater: async (mark) => {
      await makeDirectories(directory, { disk: deps.disk, mode: 0o700 })
      await files.raiseHighWater(mark)
    },
  }
}

/**
 * Makes `bytes` the current document of `copy`, whatever is there. A service and a person at the same
 * node may both do so.
 *
 * @throws as `KeyringStore.publish`.
 */
export async function keepCopy(copy: KeyringStore, bytes: Uint8Array): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const current = await copy.load()
    if (current !== undefined && sha256Label(current.bytes) === sha256Label(bytes)) return
    try {
      await copy.publish(bytes, { replaces: current?.revision })
      return
    } catch (error) {
      const overtaken =
        isLatchkeyError(error, 'ERR_KEYRING_CONFLICT') ||
        isLatchkeyError(error, 'ERR_KEYRING_EXISTS')
      if (!overtaken || tries >= 4) throw error
    }
  }
}
