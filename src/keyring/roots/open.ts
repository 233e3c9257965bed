import * as fs from 'node:fs/promises'
import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { concat } from '../../base/bytes.ts'
import { LatchkeyError } from '../../base/errors.ts'
import { frameKeyBytes } from '../../base/frame.ts'
import type { RandomBytes } from '../../base/random.ts'
import { SecretBytes } from '../../base/secret.ts'
import { createFile, type Disk } from '../../clients/disk.ts'
import { readGuardedFile } from '../../clients/guarded-file.ts'
import type { RootKey } from '../root.ts'
import { parseRootSpec, type RootSpec } from './spec.ts'

/** What roots need from the process that opens them. */
export interface RootDeps {
  readonly disk: Disk
  readonly random: RandomBytes
  /** The process's user; secrets must belong to it or to root. */
  readonly uid: number
  /** Base of relative paths. */
  readonly cwd: string
  /** Where systemd put the unit's credentials, if it did. */
  readonly credentialsDirectory: string | undefined
  /** Told what is unwise but works, one line. */
  readonly warn: (line: string) => void
}

const maxPassphraseBytes = 4096

/**
 * Opens the root that a `--root` names; see {@link parseRootSpec}. With `create`, a root file that
 * does not exist is made: 32 random bytes, mode 0400.
 *
 * @throws `ERR_USAGE` for a spec that is none, `ERR_ROOT_NOT_FOUND`, `ERR_ROOT_UNSAFE` when others
 * may read or write the file, `ERR_ROOT_INVALID` when its content is no root.
 */
export async function openRoot(
  text: string,
  deps: RootDeps,
  options: { readonly create?: boolean } = {},
): Promise<RootKey> {
  const spec = parseRootSpec(text)
  if (spec.type === 'passphrase') {
    const passphrase = await readPassphrase(spec, deps)
    const { passphraseRoot } = await import('./passphrase.ts')
    return passphraseRoot(passphrase, deps)
  }
  const path = pathOf(spec, deps)
  if (options.create === true && spec.from === 'path') {
    using fresh = SecretBytes.take(deps.random(frameKeyBytes))
    await fs.mkdir(resolve(path, '..'), { recursive: true, mode: 0o700 })
    await createUnlessThere(path, fresh, deps)
  }
  const bytes = await readSecretFile(path, spec, { deps, maxBytes: 4096 })
  if (bytes.byteLength !== frameKeyBytes) {
    throw new LatchkeyError(
      'ERR_ROOT_INVALID',
      `the root file ${path} has ${bytes.byteLength} bytes, expected ${frameKeyBytes}`,
      { hint: 'name the file that "latchkey keys init" made; it holds 32 raw bytes' },
    )
  }
  const { fileRoot } = await import('./file.ts')
  return fileRoot(bytes, deps)
}

/**
 * Reads a passphrase: all of the file or descriptor but one trailing line feed.
 *
 * @throws as {@link openRoot}.
 */
export async function readPassphrase(spec: RootSpec, deps: RootDeps): Promise<SecretBytes> {
  using read =
    spec.from === 'descriptor'
      ? await readDescriptor(spec.descriptor)
      : await readSecretFile(pathOf(spec, deps), spec, { deps, maxBytes: maxPassphraseBytes })
  const bytes = read.expose()
  const end = bytes.at(-1) === 0x0a ? bytes.byteLength - 1 : bytes.byteLength
  const trimmed = bytes.subarray(0, bytes[end - 1] === 0x0d ? end - 1 : end)
  if (trimmed.byteLength === 0) {
    throw new LatchkeyError('ERR_ROOT_INVALID', 'the passphrase is empty')
  }
  return SecretBytes.copyOf(trimmed)
}

async function createUnlessThere(path: string, key: SecretBytes, deps: RootDeps): Promise<void> {
  const there = await fs.lstat(path).then(
    () => true,
    () => false,
  )
  if (!there) await createFile(path, key.expose(), { ...deps, mode: 0o400 })
}

function pathOf(spec: RootSpec, deps: RootDeps): string {
  if (spec.from === 'path') return resolve(deps.cwd, spec.path)
  if (spec.from === 'credential') {
    if (deps.credentialsDirectory !== undefined) return `${deps.credentialsDirectory}/${spec.name}`
    throw new LatchkeyError('ERR_ROOT_NOT_FOUND', 'no systemd credentials were passed', {
      hint: `run this from a unit with LoadCredential=${spec.name}:… or LoadCredentialEncrypted=`,
    })
  }
  throw new LatchkeyError('ERR_USAGE', 'a root file is named by its path')
}

async function readSecretFile(
  path: string,
  spec: RootSpec,
  options: { readonly deps: RootDeps; readonly maxBytes: number },
): Promise<SecretBytes> {
  const title = spec.type === 'file' ? 'root file' : 'passphrase file'
  const bytes = await readGuardedFile(path, {
    uid: options.deps.uid,
    forbiddenMode: forbiddenMode(spec),
    title,
    code: 'ERR_ROOT_UNSAFE',
    maxBytes: options.maxBytes,
  })
  if (bytes === undefined) {
    throw new LatchkeyError('ERR_ROOT_NOT_FOUND', `there is no file ${path}`, {
      hint: 'name the root that the keyring was made with',
    })
  }
  const { mode } = await fs.stat(path)
  if (spec.type === 'passphrase' && spec.from === 'path' && (mode & 0o044) !== 0) {
    options.deps.warn(`${title} ${path} can be read by others: chmod 0600 ${path}`)
  }
  return SecretBytes.take(bytes)
}

/**
 * Nobody else may read a root file. A passphrase file may be one that a person keeps for a moment
 * only: others must not write it, and that they can read it is said. systemd grants a service user
 * its credentials by ACL, which shows as the group's bits.
 */
function forbiddenMode(spec: RootSpec): number {
  if (spec.from === 'credential') return 0o037
  return spec.type === 'file' ? 0o077 : 0o022
}

async function readDescriptor(descriptor: number): Promise<SecretBytes> {
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for await (const chunk of createReadStream('', { fd: descriptor, autoClose: false })) {
      const bytes = chunk as Uint8Array
      chunks.push(bytes)
      length += bytes.byteLength
      if (length > maxPassphraseBytes) break
    }
  } catch (error) {
    throw new LatchkeyError('ERR_ROOT_NOT_FOUND', `descriptor ${descriptor} cannot be read`, {
      hint: `open it, as in: --root passphrase:fd:${descriptor} ${descriptor}<passphrase-file`,
      cause: error,
    })
  }
  const joined = SecretBytes.take(concat(chunks))
  for (const chunk of chunks) chunk.fill(0)
  if (length <= maxPassphraseBytes) return joined
  joined[Symbol.dispose]()
  throw new LatchkeyError(
    'ERR_ROOT_INVALID',
    `the passphrase has more than ${maxPassphraseBytes} bytes`,
  )
}
