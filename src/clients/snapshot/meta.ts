import { invalidSnapshot } from './errors.ts'
import { readExactly, readId } from './page-file.ts'

/** What a bbolt file says about itself (internal/common/meta.go). */
export interface Meta {
  readonly pageBytes: number
  /** Page of the root bucket. */
  readonly root: number
  /** Pages in use are below this one. */
  readonly endPage: number
  readonly transaction: bigint
}

const [magic, magicSwapped, version] = [0xed0cdaed, 0xedda0ced, 2]
const [pageHeaderBytes, metaBytes] = [16, 64]

/**
 * The newer of a file's two meta pages. As in bbolt, one damaged one is made up for by the other:
 * they are written in turn so that a power cut leaves one.
 *
 * @throws `ERR_SNAPSHOT_INVALID` when neither is whole.
 */
export function readMeta(descriptor: number, bytes: number): Meta {
  const first = readMetaAt(descriptor, { at: 0, bytes })
  if (first === undefined) return findSecond(descriptor, bytes)
  const second = readMetaAt(descriptor, { at: first.pageBytes, bytes })
  return second !== undefined && second.transaction > first.transaction ? second : first
}

/**
 * Without the first one the page size, and so the second one's place, can only be tried. The nearest is
 * taken: what is behind it may be a value that somebody made to look like one.
 */
function findSecond(descriptor: number, bytes: number): Meta {
  for (let at = 1024; at <= 1024 << 14; at *= 2) {
    const meta = readMetaAt(descriptor, { at, bytes })
    if (meta?.pageBytes === at) return meta
  }
  throw invalidSnapshot('it has no whole meta page of a bbolt database')
}

function readMetaAt(
  descriptor: number,
  { at, bytes }: { readonly at: number; readonly bytes: number },
): Meta | undefined {
  if (at + pageHeaderBytes + metaBytes > bytes) return undefined
  const into = Buffer.alloc(metaBytes)
  const meta = readExactly(descriptor, { into, at: at + pageHeaderBytes })
  const found = meta.readUInt32LE(0)
  if (found === magicSwapped) {
    throw invalidSnapshot('it was written on a machine of the other byte order')
  }
  if (found !== magic || meta.readUInt32LE(4) !== version) return undefined
  if (fnv1a(meta.subarray(0, 56)) !== meta.readBigUInt64LE(56)) return undefined
  const pageBytes = meta.readUInt32LE(8)
  if (pageBytes < 1024 || pageBytes > 1024 << 14 || (pageBytes & (pageBytes - 1)) !== 0) {
    return undefined
  }
  return {
    pageBytes,
    root: readId(meta, 16),
    endPage: readId(meta, 40),
    transaction: meta.readBigUInt64LE(48),
  }
}

/** FNV-1a, 64 bits (draft-eastlake-fnv), which bbolt guards its meta pages with. */
function fnv1a(bytes: Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  return hash
}
