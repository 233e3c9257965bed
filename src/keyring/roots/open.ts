import { read as readCallback } from 'node:fs'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { LatchkeyError } from '../../base/errors.ts'
import { frameKeyBytes } from '../../base/frame.ts'
import type { RandomBytes } from '../../base/random.ts'
import { SecretBytes } from '../../base/secret.ts'
import type { Disk } from '../../clients/disk.ts'
import { readGuardedFile, readUpTo } from '../../clients/guarded-file.ts'
import type { JoinedRoot, RootKey, SplitRoot } from '../root.ts'
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
/** Room for every share of a backup. */
const maxShareFileBytes = 65_536
const readFrom = promisify(readCallback)

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
    const { createRootFile } = await import('./root-file.ts')
    await createRootFile(path, deps)
  }
  const bytes = await readSecretFile(path, spec, { deps, maxBytes: 4096 })
  if (bytes.byteLength !== frameKeyBytes) {
    const found = bytes.byteLength
    bytes[Symbol.dispose]()
    throw new LatchkeyError(
      'ERR_ROOT_INVALID',
      `the root file ${path} has ${found} bytes, expected ${frameKeyBytes}`,
      { hint: 'name the file that "latchkey keys init" made; it holds 32 raw bytes' },
    )
  }
  const { fileRoot } = await import('./file.ts')
  return fileRoot(bytes, deps)
}

/**
 * Reads a passphrase: all of the file or descriptor, up to 4096 bytes, but one line end, LF or
 * CRLF, at its end.
 *
 * @throws as {@link openRoot}.
 */
export async function readPassphrase(spec: RootSpec, deps: RootDeps): Promise<SecretBytes> {
  using read =
    spec.from === 'descriptor'
      ? await readDescriptor(spec.descriptor, {
          title: 'passphrase',
          maxBytes: maxPassphraseBytes,
        })
      : await readSecretFile(pathOf(spec, deps), spec, { deps, maxBytes: maxPassphraseBytes })
  const bytes = read.expose()
  const lineEnd = bytes.at(-1) !== 0x0a ? 0 : bytes.at(-2) === 0x0d ? 2 : 1
  if (bytes.byteLength > lineEnd) {
    return SecretBytes.copyOf(bytes.subarray(0, bytes.byteLength - lineEnd))
  }
  throw new LatchkeyError('ERR_ROOT_INVALID', 'the passphrase is empty', {
    hint: 'put a long random one into its file, as in: openssl rand -base64 24',
  })
}

/**
 * Makes a root to be given away in shares; see roots/shares.ts.
 *
 * @throws `ERR_USAGE` when the numbers are out of bounds.
 */
export async function makeSplitRoot(
  options: { readonly count: number; readonly threshold: number },
  deps: RootDeps,
): Promise<SplitRoot> {
  const { splitRoot } = await import('./shares.ts')
  return await splitRoot(options, deps)
}

/**
 * A root joined from the shares in `names`: each a file, `fd:N`, or `-` for the standard input; one
 * may hold several shares.
 *
 * @throws `ERR_ROOT_NOT_FOUND`, `ERR_ROOT_UNSAFE` when others may write a file, `ERR_SHARE_INVALID`.
 */
export async function openShares(names: readonly string[], deps: RootDeps): Promise<JoinedRoot> {
  const [{ sharesRoot }, { decodeShares }] = await Promise.all([
    import('./shares.ts'),
    import('./share-text.ts'),
  ])
  const given = []
  for (const name of names) {
    const descriptor = name === '-' ? '0' : /^fd:([0-9]{1,5})$/.exec(name)?.[1]
    const source = name === '-' ? 'standard input' : name
    using text =
      descriptor === undefined
        ? await readShareFile(resolve(deps.cwd, name), deps)
        : await readDescriptor(Number(descriptor), { title: 'share', maxBytes: maxShareFileBytes })
    for (const share of decodeShares(text, source)) given.push({ ...share, source })
  }
  return sharesRoot(given, deps)
}

async function readShareFile(path: string, deps: RootDeps): Promise<SecretBytes> {
  const title = 'share file'
  const bytes = await readGuardedFile(path, {
    uid: deps.uid,
    forbiddenMode: 0o022,
    title,
    code: 'ERR_ROOT_UNSAFE',
    maxBytes: maxShareFileBytes,
    oversizeCode: 'ERR_SHARE_INVALID',
  })
  if (bytes === undefined) {
    throw new LatchkeyError('ERR_ROOT_NOT_FOUND', `there is no file ${path}`, {
      hint: 'name the file of a share, or - to give it on the standard input',
    })
  }
  await warnWhenReadable(path, { title, deps })
  return SecretBytes.take(bytes)
}

/** A file of a person may lie on a medium that knows no modes; that others can read it is said. */
async function warnWhenReadable(
  path: string,
  { title, deps }: { readonly title: string; readonly deps: RootDeps },
): Promise<void> {
  const mode = await stat(path).then(
    (found) => found.mode,
    () => 0,
  )
  if ((mode & 0o044) !== 0) {
    deps.warn(`${title} ${path} can be read by others: chmod 0600 ${path}`)
  }
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
    oversizeCode: 'ERR_ROOT_INVALID',
  })
  if (bytes === undefined) {
    throw new LatchkeyError('ERR_ROOT_NOT_FOUND', `there is no file ${path}`, {
      hint:
        spec.type === 'file'
          ? 'name the root that the keyring was made with'
          : 'name the file that holds the passphrase, of the keyring or of the backup',
    })
  }
  if (spec.type === 'passphrase' && spec.from === 'path') {
    await warnWhenReadable(path, { title, deps: options.deps })
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

async function readDescriptor(
  descriptor: number,
  { title, maxBytes }: { readonly title: 'passphrase' | 'share'; readonly maxBytes: number },
): Promise<SecretBytes> {
  let bytes: Uint8Array | undefined
  try {
    bytes = await readUpTo(maxBytes, {
      expectedBytes: 255,
      read: async (into) => (await readFrom(descriptor, into, 0, into.byteLength, null)).bytesRead,
    })
  } catch (error) {
    throw new LatchkeyError('ERR_ROOT_NOT_FOUND', `descriptor ${descriptor} cannot be read`, {
      hint: `open it, as in: ${title === 'share' ? `--share fd:${descriptor} ${descriptor}<share-file` : `--root passphrase:fd:${descriptor} ${descriptor}<passphrase-file`}`,
      cause: error,
    })
  }
  if (bytes !== undefined) return SecretBytes.take(bytes)
  throw new LatchkeyError('ERR_ROOT_INVALID', `the ${title} has more than ${maxBytes} bytes`, {
    hint: `name the file or descriptor that holds the ${title} and nothing else`,
  })
}
