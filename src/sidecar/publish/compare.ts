import type { SecretBytes } from '../../base/secret.ts'
import type { AnchoredDirectory } from './anchored-directory.ts'
import type { FileOperations } from './file-operations.ts'
import { applyAccess, readFoundFile } from './files.ts'
import type { Access } from './files.ts'
import { directoryMode } from './generation.ts'
import type { SetFile } from './generation.ts'
import type { Manifest, ManifestFile } from './manifest.ts'

/** A set as it is to be. */
export interface WantedSet {
  readonly files: readonly SetFile[]
  /** The entries that are part of it without any file. */
  readonly empty: readonly number[]
}

/** How a wanted set differs from the one that is published. */
export interface Difference {
  /** Whether it is the same but for {@link access}. */
  readonly same: boolean
  /** The entries of the plan of which any file is new, other or gone. */
  readonly entries: ReadonlySet<number>
  /** Files whose content is right and whose mode or group is not. */
  readonly access: readonly SetFile[]
}

/** Compares content byte by byte with what is on disk, not with what was written once. */
export function compareWithPublished(
  published: { readonly generation: AnchoredDirectory; readonly manifest: Manifest },
  { files, empty }: WantedSet,
  operations: FileOperations,
): Difference {
  const { generation, manifest } = published
  const entries = new Set<number>()
  const access: SetFile[] = []
  const before = new Map(manifest.files.map((file) => [file.name, file]))
  for (const file of files) {
    const known = before.get(file.name)
    before.delete(file.name)
    using found = readFoundFile(generation, file.name, operations)
    if (known === undefined || found === undefined || !sameBytes(found.bytes, file.bytes)) {
      entries.add(file.entry)
    } else if (known.entry !== file.entry) {
      entries.add(file.entry).add(known.entry)
    } else if (found.mode !== file.mode || (file.group !== undefined && found.gid !== file.group)) {
      access.push(file)
    }
  }
  for (const gone of before.values()) {
    // One that was withdrawn already is gone from the readers, and only the manifest has it still.
    if (generation.lstat(gone.name) !== undefined) entries.add(gone.entry)
  }
  const sameNames = before.size === 0 && manifest.empty.join() === empty.join()
  return { same: sameNames && entries.size === 0, entries, access }
}

/**
 * Gives the files of a generation, and its directory, back their mode and group. Returns whether that
 * was needed, or `undefined` when a file is missing or of another size.
 */
export function repairGeneration(
  generation: AnchoredDirectory,
  files: readonly ManifestFile[],
  operations: FileOperations,
): boolean | undefined {
  const access: ManifestFile[] = []
  for (const file of files) {
    const facts = generation.lstat(file.name)
    if (facts?.kind !== 'file' || facts.size !== file.size) return undefined
    if (facts.mode !== file.mode || (file.group !== undefined && facts.gid !== file.group)) {
      access.push(file)
    }
  }
  repairAccess(generation, access, operations)
  return repairDirectoryMode(generation, files) || access.length > 0
}

/** Gives the directory of a generation back its mode. Returns whether that was needed. */
export function repairDirectoryMode(
  generation: AnchoredDirectory,
  files: readonly Access[],
): boolean {
  const mode = directoryMode(files)
  if (generation.stat().mode === mode) return false
  generation.chmod(mode)
  return true
}

/** Gives files back their mode and group. */
export function repairAccess(
  generation: AnchoredDirectory,
  files: readonly (Access & { readonly name: string })[],
  operations: FileOperations,
): void {
  for (const file of files) {
    const fd = operations.openFile(generation.at(file.name), 'read')
    try {
      applyAccess(fd, file, operations)
    } finally {
      operations.close(fd)
    }
  }
}

function sameBytes(a: SecretBytes, b: SecretBytes): boolean {
  return Buffer.compare(a.expose(), b.expose()) === 0
}
