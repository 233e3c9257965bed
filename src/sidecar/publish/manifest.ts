import { fromUtf8, utf8 } from '../../base/bytes.ts'

/** Name of the manifest in a generation. */
export const manifestName = '..set'

/** What a generation says of itself, so that a restarted sidecar can adopt it. */
export interface Manifest {
  /** Digest of the plan it was made for. */
  readonly plan: string
  readonly files: readonly ManifestFile[]
  /** Indices of the entries that are published without any file: secrets without keys. */
  readonly empty: readonly number[]
}

/** One file of a generation. */
export interface ManifestFile {
  readonly name: string
  /** Index in the plan of the entry that it belongs to. */
  readonly entry: number
  /** Length in bytes. */
  readonly size: number
  /** Permission bits. */
  readonly mode: number
  /** Numeric group, if one was asked for. */
  readonly group: number | undefined
}

/**
 * The manifest as bytes:
 * `{"format":1,"plan":…,"files":[["name",entry,size,mode,group or -1],…],"empty":[entry,…]}`.
 */
export function printManifest(manifest: Manifest): Uint8Array {
  const files = manifest.files.map(({ name, entry, size, mode, group }) => [
    name,
    entry,
    size,
    mode,
    group ?? -1,
  ])
  const { plan, empty } = manifest
  return utf8(`${JSON.stringify({ format: 1, plan, files, empty })}\n`)
}

/** Inverse of {@link printManifest}; `undefined` for anything that it would not print. */
export function readManifest(bytes: Uint8Array): Manifest | undefined {
  const document = parseJson(fromUtf8(bytes) ?? '')
  if (!isRecord(document) || document['format'] !== 1) return undefined
  // Release 0.1.0 wrote no empty entries down.
  const { plan, files, empty = [] } = document
  if (typeof plan !== 'string' || !Array.isArray(files) || !Array.isArray(empty)) return undefined
  const read = files.map(readFile)
  if (!read.every((file) => file !== undefined) || !empty.every(isCount)) return undefined
  return { plan, files: read, empty }
}

function readFile(file: unknown): ManifestFile | undefined {
  if (!Array.isArray(file) || file.length !== 5) return undefined
  const [name, entry, size, mode, group] = file as readonly unknown[]
  if (typeof name !== 'string' || !isCount(entry) || !isCount(size)) return undefined
  if (!isCount(mode) || mode > 0o777 || !(group === -1 || isCount(group))) return undefined
  if (!/^[^/\0]{1,255}$/.test(name) || name.startsWith('..')) return undefined
  return { name, entry, size, mode, group: group === -1 ? undefined : group }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
