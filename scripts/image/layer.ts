import { createHash } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { pack } from './tar.ts'

/** One layer of an image. */
export interface Layer {
  /** What it brings, for the image's history. */
  readonly what: string
  /** As it is stored: a tar, compressed with gzip. */
  readonly bytes: Uint8Array
  /** Digest of the tar itself, as `rootfs.diff_ids` has it. */
  readonly diffId: string
}

/** `sha256:` and the digest in hex, as OCI descriptors have it. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/**
 * Packs everything below `root`, owned by root. Modes become 0755 and 0644, whatever the builder's
 * umask; a directory that all may write to keeps its mode.
 */
export async function packLayer(root: string, what: string): Promise<Layer> {
  await settleModes(root)
  const scratch = await mkdtemp(join(tmpdir(), 'latchkey-layer-'))
  try {
    const file = join(scratch, 'layer.tar')
    await pack(root, file)
    const tar = await readFile(file)
    return { what, bytes: await promisify(gzip)(tar, { level: 6 }), diffId: digestOf(tar) }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function settleModes(directory: string): Promise<void> {
  if (((await stat(directory)).mode & 0o002) === 0) await chmod(directory, 0o755)
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) await settleModes(path)
    else if (entry.isFile()) {
      await chmod(path, ((await stat(path)).mode & 0o100) === 0 ? 0o644 : 0o755)
    }
  }
}
