import * as fs from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { LatchkeyError, systemCode } from '../../base/errors.ts'
import { frameKeyBytes } from '../../base/frame.ts'
import type { RandomBytes } from '../../base/random.ts'
import { SecretBytes } from '../../base/secret.ts'
import { createFile, diskError, type Disk } from '../../clients/disk.ts'
import { readGuardedFile } from '../../clients/guarded-file.ts'

/** What reading a store root needs from the process. */
export interface StoreRootDeps {
  readonly disk: Disk
  readonly random: RandomBytes
  readonly uid: number
  /** Base of relative paths. */
  readonly cwd: string
}

/**
 * Reads the root of the store in `directory`: 32 raw bytes, readable by their owner alone, in a
 * directory that is neither the store's, nor in it, nor the one the store stands in. With `create`
 * a root that does not exist is made, mode 0400.
 *
 * @throws `ERR_USAGE` for a spec that is not `file:FILE`, `ERR_ROOT_UNSAFE`, `ERR_ROOT_NOT_FOUND`,
 * `ERR_ROOT_INVALID`.
 */
export async function openStoreRoot(
  spec: string,
  options: { readonly directory: string; readonly create: boolean; readonly deps: StoreRootDeps },
): Promise<SecretBytes> {
  const { deps } = options
  const name = /^file:(.+)$/s.exec(spec)?.[1]
  if (name === undefined) {
    throw new LatchkeyError('ERR_USAGE', 'the store root is not file:FILE', {
      hint: 'give a file, as in --store-root file:/etc/latchkey/store.root',
    })
  }
  const path = resolve(deps.cwd, name)
  await refuseBeside(path, options.directory)
  if (options.create) await createUnlessThere(path, deps)
  const bytes = await readGuardedFile(path, {
    uid: deps.uid,
    forbiddenMode: 0o077,
    title: 'store root file',
    code: 'ERR_ROOT_UNSAFE',
    maxBytes: 4096,
  })
  if (bytes === undefined) {
    throw new LatchkeyError('ERR_ROOT_NOT_FOUND', `there is no file ${path}`, {
      hint: 'name the root that the store was made with',
    })
  }
  const root = SecretBytes.take(bytes)
  if (root.byteLength === frameKeyBytes) return root
  root[Symbol.dispose]()
  throw new LatchkeyError(
    'ERR_ROOT_INVALID',
    `the store root ${path} has ${bytes.byteLength} bytes, expected ${frameKeyBytes}`,
    { hint: 'name the file that the store was made with; it holds 32 raw bytes' },
  )
}

async function createUnlessThere(path: string, deps: StoreRootDeps): Promise<void> {
  try {
    await fs.lstat(path)
    return
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw diskError(error, path)
  }
  using fresh = SecretBytes.take(deps.random(frameKeyBytes))
  try {
    await fs.mkdir(dirname(path), { recursive: true, mode: 0o700 })
  } catch (error) {
    throw diskError(error, dirname(path))
  }
  await createFile(path, fresh.expose(), { ...deps, mode: 0o400 })
}

/** Who copies a directory, or the one around it, must not get lock and key in one go. */
async function refuseBeside(path: string, directory: string): Promise<void> {
  const rootDirectory = dirname(await realPath(path))
  const store = await realPath(directory)
  const inside = rootDirectory === store || rootDirectory.startsWith(`${store}/`)
  if (!inside && rootDirectory !== dirname(store)) return
  throw new LatchkeyError(
    'ERR_ROOT_UNSAFE',
    inside ? 'the store root lies in the store' : 'the store root lies beside the store',
    {
      hint: 'move the root to a directory of its own, which backups of the store do not take along',
    },
  )
}

/** The path without links, as far as it exists. */
async function realPath(path: string): Promise<string> {
  try {
    return await fs.realpath(path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || path === '/') throw diskError(error, path)
    const parent = await realPath(dirname(path))
    return `${parent === '/' ? '' : parent}/${path.slice(path.lastIndexOf('/') + 1)}`
  }
}
