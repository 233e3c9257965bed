import { utf8 } from '../../base/bytes.ts'
import { isLatchkeyError } from '../../base/errors.ts'
import type { SecretBytes } from '../../base/secret.ts'
import type { AnchoredDirectory } from './anchored-directory.ts'
import type { FileOperations } from './file-operations.ts'
import { giveDirectory, readFoundFile, removeTree, writeNewFile } from './files.ts'
import type { Access } from './files.ts'
import { manifestName, printManifest, readManifest } from './manifest.ts'
import type { Manifest } from './manifest.ts'

/** One file of a set. */
export interface SetFile extends Access {
  /** A name without a slash that does not start with `..`. */
  readonly name: string
  readonly bytes: SecretBytes
  /** Index in the plan of the entry that it belongs to. */
  readonly entry: number
}

/** The link whose target is the published generation. */
export const dataLink = '..data'
/** In a generation: its number. Beside `..data`: a link to that. */
export const versionName = '..version'
/** How the directories of generations are named. */
const generationPattern = /^\.\.gen-([1-9][0-9]{0,14})$/

/** Name of the directory of generation `number`. */
export function generationName(number: number): string {
  return `..gen-${number}`
}

/** The numbers of all generations among `names`, in ascending order. */
export function generationNumbers(names: readonly string[]): readonly number[] {
  return names
    .flatMap((name) => generationPattern.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
}

/** The number of the generation that `..data` names; `undefined` when it names none. */
export function publishedNumber(
  directory: AnchoredDirectory,
  operations: FileOperations,
): number | undefined {
  if (directory.lstat(dataLink)?.kind !== 'link') return undefined
  const target = operations.readLink(directory.at(dataLink))
  return generationNumbers([target])[0]
}

/** Opens a generation; a link or file under its name is none of ours and counts as absent. */
export function openGeneration(
  directory: AnchoredDirectory,
  number: number,
): AnchoredDirectory | undefined {
  try {
    return directory.openChild(generationName(number))
  } catch (error) {
    if (isLatchkeyError(error, 'ERR_TARGET_UNSAFE')) return undefined
    throw error
  }
}

/** Permission bits of a directory that holds `files`: closed to others, open to a group that may read. */
export function directoryMode(files: readonly Access[]): number {
  return files.some(({ mode }) => (mode & 0o040) !== 0) ? 0o750 : 0o700
}

/** Who may look into a directory that holds `files`. */
export function directoryAccess(files: readonly Access[]): Access {
  return {
    mode: directoryMode(files),
    group: files.find(({ group }) => group !== undefined)?.group,
  }
}

/** A generation that is to be. */
export interface NewGeneration {
  readonly number: number
  /** Digest of the plan. */
  readonly plan: string
  readonly files: readonly SetFile[]
  /** The entries that are part of it without any file. */
  readonly empty: readonly number[]
}

/** Writes a generation, complete and synced, and visible to nobody yet. */
export function writeGeneration(
  directory: AnchoredDirectory,
  set: NewGeneration,
  operations: FileOperations,
): void {
  const name = generationName(set.number)
  try {
    operations.makeDirectory(directory.at(name), 0o700)
    using generation = directory.openChild(name)
    if (generation === undefined) throw new Error('the directory just made is gone')
    for (const file of set.files) {
      writeNewFile(generation, { ...file, bytes: file.bytes.expose() }, operations)
    }
    const [first] = set.files
    const notes = {
      mode: (directoryMode(set.files) & 0o050) === 0 ? 0o400 : 0o440,
      group: first?.group,
    }
    writeNewFile(
      generation,
      { ...notes, name: versionName, bytes: utf8(`${set.number}\n`) },
      operations,
    )
    const files = set.files.map((file) => ({ ...file, size: file.bytes.byteLength }))
    writeNewFile(
      generation,
      {
        name: manifestName,
        bytes: printManifest({ ...set, files }),
        mode: 0o400,
        group: undefined,
      },
      operations,
    )
    giveDirectory(generation, directoryAccess(set.files))
    generation.sync()
  } catch (error) {
    discard(directory, name, operations)
    throw error
  }
}

function discard(directory: AnchoredDirectory, name: string, operations: FileOperations): void {
  try {
    removeTree(directory, name, operations)
  } catch {
    // What stopped the writing is what is told; the next publication sweeps the remains.
  }
}

/** The manifest of a generation, if it has one that can be read. */
export function manifestOf(
  generation: AnchoredDirectory,
  operations: FileOperations,
): Manifest | undefined {
  using found = readFoundFile(generation, manifestName, operations)
  return found && readManifest(found.bytes.expose())
}
