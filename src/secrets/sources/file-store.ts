import * as fs from 'node:fs/promises'
import { LatchkeyError, systemCode } from '../../base/errors.ts'
import type { RandomBytes } from '../../base/random.ts'
import type { SecretBytes } from '../../base/secret.ts'
import { createFile, diskError, temporaryPrefix, type Disk } from '../../clients/disk.ts'
import { readGuardedFile, type Guard } from '../../clients/guarded-file.ts'
import type { SecretContent } from '../content.ts'
import { isNamespaceName, isSecretName, type SecretTarget } from '../reference.ts'
import {
  createStoreId,
  decodeEntry,
  deriveStoreKeys,
  encodeEntry,
  encodeHeader,
  maxEntryFileBytes,
  openHeader,
  readHeaderId,
  type StoreKeys,
} from './file-format.ts'

/** What a store needs from the process that opens it. */
export interface FileStoreDeps {
  readonly disk: Disk
  readonly random: RandomBytes
  /** The process's user; files must belong to it or to root. */
  readonly uid: number
  /** Wall time in milliseconds since 1970, for the age of leftovers. */
  readonly now: () => number
}

/** An open store: see FORMAT.md beside this file. */
export interface FileSecretStore extends Disposable {
  /** Absolute path. */
  readonly directory: string
  /** Key for versions, owned by the store. */
  readonly versionKey: SecretBytes
  /**
   * The current content, which becomes the caller's, or `undefined` when there is no such secret.
   *
   * @throws `ERR_SECRET_STORE_INVALID`, `ERR_SECRET_STORE_UNSAFE`, `ERR_IO`.
   */
  load(target: SecretTarget): Promise<SecretContent | undefined>
  /** Secrets that exist, ascending. */
  list(): Promise<readonly SecretTarget[]>
  /**
   * Replaces a secret by what `change` makes of its current content (`undefined`: none; returning
   * `undefined` removes it). When another writer comes between, `change` is called again. The
   * content passed is wiped when `change` returns; what it returns, when it is written.
   *
   * @throws what `change` throws; `ERR_SECRET_STORE_CONFLICT` when others keep being faster;
   * `ERR_DISK_FULL`, `ERR_IO`. Nothing has then changed.
   */
  update(
    target: SecretTarget,
    change: (current: SecretContent | undefined) => SecretContent | undefined,
  ): Promise<void>
}

const headerName = 'store.json'
const revisionPattern = /^[0-9]{10}$/
const attempts = 8
const staleTemporaryMs = 3_600_000

/**
 * Opens the store in `directory`, which is made when there is none and `create` is set.
 *
 * @throws `ERR_SECRET_STORE_INVALID`, `ERR_ROOT_WRONG`, `ERR_SECRET_STORE_UNSAFE`, `ERR_IO`.
 */
export async function openFileStore(
  directory: string,
  options: { readonly root: SecretBytes; readonly create: boolean; readonly deps: FileStoreDeps },
): Promise<FileSecretStore> {
  const { deps } = options
  const guard: Guard = {
    uid: deps.uid,
    forbiddenMode: 0o077,
    title: 'secret store file',
    code: 'ERR_SECRET_STORE_UNSAFE',
    maxBytes: maxEntryFileBytes,
  }
  const keys = await openKeys(directory, { ...options, guard })
  const directoryOf = ({ namespace, name }: SecretTarget): string => {
    if (!isNamespaceName(namespace) || !isSecretName(name)) {
      throw new TypeError('the target has no valid names')
    }
    return `${directory}/${namespace}/${name}`
  }

  // A store that was unmounted or moved away has no secrets either, but that is no decision.
  const ensureStillThere = async (): Promise<void> => {
    const header = await readGuardedFile(`${directory}/${headerName}`, guard)
    if (header !== undefined && readHeaderId(header) === keys.id) return
    throw new LatchkeyError(
      'ERR_SECRET_STORE_INVALID',
      `the secret store is gone from ${directory}`,
      {
        hint: 'mount or move it back',
      },
    )
  }

  /** The highest revision of each secret that was read here. */
  const seen = new Map<string, number>()

  const load = async (
    target: SecretTarget,
  ): Promise<{ readonly revision: number; readonly content: SecretContent | undefined }> => {
    const place = directoryOf(target)
    const name = `${target.namespace}/${target.name}`
    // A revision may be superseded and unlinked between listing and reading: look again.
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const before = seen.get(name) ?? 0
      const [revision] = await listRevisions(place)
      // A secret is removed by a revision that says so: files do not go, nor grow old, by themselves.
      if ((revision ?? 0) < before) throw missing(place, before)
      if (revision === undefined) {
        await ensureStillThere()
        return { revision: 0, content: undefined }
      }
      const bytes = await readGuardedFile(`${place}/${fileName(revision)}`, guard)
      if (bytes === undefined) continue
      const content = decodeEntry(bytes, { keys, place: { ...target, revision } })
      seen.set(name, Math.max(revision, seen.get(name) ?? 0))
      return { revision, content }
    }
    throw busy(target)
  }

  const publish = async (
    target: SecretTarget,
    write: { readonly revision: number; readonly content: SecretContent | undefined },
  ): Promise<boolean> => {
    const place = directoryOf(target)
    const { revision } = write
    const path = `${place}/${fileName(revision)}`
    const bytes = encodeEntry(write.content, {
      keys,
      place: { ...target, revision },
      random: deps.random,
    })
    await makeDirectories(directory, target, deps.disk)
    if (!(await createFile(path, bytes, { ...deps, mode: 0o600 }))) return false
    const revisions = await listRevisions(place)
    if (revisions.some((other) => other > revision)) {
      // Somebody passed us and has already taken the revisions below away, among them the one that
      // would have stopped us.
      await deps.disk.unlink(path).catch(() => undefined)
      return false
    }
    // It is published: failing to tidy must not look like a failed write.
    await tidy(place, { revisions, current: revision, deps }).catch(() => undefined)
    return true
  }

  return {
    directory,
    versionKey: keys.version,
    load: async (target) => (await load(target)).content,
    list: () => listTargets(directory, load),
    update: async (target, change) => {
      for (let attempt = 0; attempt < attempts; attempt += 1) {
        const { revision, content } = await load(target)
        using current = content
        using next = change(current)
        if (current === undefined && next === undefined) return
        if (await publish(target, { revision: revision + 1, content: next })) return
      }
      throw busy(target)
    },
    [Symbol.dispose]: () => {
      keys[Symbol.dispose]()
    },
  }
}

async function openKeys(
  directory: string,
  options: {
    readonly root: SecretBytes
    readonly create: boolean
    readonly deps: FileStoreDeps
    readonly guard: Guard
  },
): Promise<StoreKeys> {
  const { root, deps } = options
  const path = `${directory}/${headerName}`
  const read = (): Promise<Uint8Array | undefined> =>
    readGuardedFile(path, { ...options.guard, maxBytes: 4096 })
  const existing = await read()
  if (existing !== undefined) return openHeader(existing, root)
  if (!options.create) {
    throw new LatchkeyError(
      'ERR_SECRET_STORE_INVALID',
      `there is no secret store in ${directory}`,
      {
        hint: 'name its directory, or make one with "latchkey secret set"',
      },
    )
  }
  await makeDirectory(directory, deps.disk)
  const entries = await fs.readdir(directory)
  if (entries.some((name) => !name.startsWith(temporaryPrefix))) {
    const raced = await read()
    if (raced !== undefined) return openHeader(raced, root)
    throw new LatchkeyError(
      'ERR_SECRET_STORE_INVALID',
      `${directory} holds other files and no store.json`,
      { hint: 'name an empty directory for a new store' },
    )
  }
  using fresh = deriveStoreKeys(root, createStoreId(deps.random))
  await createFile(path, encodeHeader(fresh, deps.random), { ...deps, mode: 0o600 })
  // Whoever was first made the store: read what is there, ours or theirs.
  const made = await read()
  if (made === undefined) throw new LatchkeyError('ERR_IO', `${path} vanished`)
  return openHeader(made, root)
}

async function listTargets(
  directory: string,
  load: (target: SecretTarget) => Promise<{ readonly content: SecretContent | undefined }>,
): Promise<readonly SecretTarget[]> {
  const found: SecretTarget[] = []
  for (const namespace of (await listNames(directory)).filter(isNamespaceName)) {
    for (const name of (await listNames(`${directory}/${namespace}`)).filter(isSecretName)) {
      const target = { namespace, name }
      using content = (await load(target)).content
      if (content !== undefined) found.push(target)
    }
  }
  return found
}

/** Revisions of one secret, highest first. */
async function listRevisions(place: string): Promise<readonly number[]> {
  return (await listNames(place))
    .filter((name) => revisionPattern.test(name))
    .map(Number)
    .sort((a, b) => b - a)
}

async function listNames(directory: string): Promise<readonly string[]> {
  try {
    return (await fs.readdir(directory)).sort()
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return []
    throw diskError(error, directory)
  }
}

async function tidy(
  place: string,
  options: {
    readonly revisions: readonly number[]
    readonly current: number
    readonly deps: FileStoreDeps
  },
): Promise<void> {
  const { disk, now } = options.deps
  for (const revision of options.revisions) {
    if (revision < options.current) await disk.unlink(`${place}/${fileName(revision)}`)
  }
  for (const name of await listNames(place)) {
    if (!name.startsWith(temporaryPrefix)) continue
    const { mtimeMs } = await fs.stat(`${place}/${name}`)
    if (now() - mtimeMs > staleTemporaryMs) await disk.unlink(`${place}/${name}`)
  }
}

async function makeDirectories(root: string, target: SecretTarget, disk: Disk): Promise<void> {
  await makeDirectory(`${root}/${target.namespace}`, disk)
  await makeDirectory(`${root}/${target.namespace}/${target.name}`, disk)
}

async function makeDirectory(path: string, disk: Disk): Promise<void> {
  try {
    await disk.mkdir(path, 0o700)
    await disk.syncDirectory(path.slice(0, path.lastIndexOf('/')) || '/')
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw diskError(error, path)
  }
}

function fileName(revision: number): string {
  return String(revision).padStart(10, '0')
}

function missing(place: string, revision: number): LatchkeyError {
  return new LatchkeyError(
    'ERR_SECRET_STORE_INVALID',
    `the secret store had ${place}/${fileName(revision)}, and has neither it nor a later one`,
    {
      hint: 'put it back; a store that is an older copy on purpose takes effect when the broker is started again',
    },
  )
}

function busy(target: SecretTarget): LatchkeyError {
  return new LatchkeyError(
    'ERR_SECRET_STORE_CONFLICT',
    `${target.namespace}/${target.name} is being changed by somebody else`,
    { hint: 'nothing was changed by this command: repeat it' },
  )
}
