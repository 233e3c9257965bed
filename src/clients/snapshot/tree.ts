import { invalidSnapshot } from './errors.ts'
import { Page, readId, type Child, type PageFile } from './page-file.ts'

/** A B+tree of 64-bit page numbers is never this deep, whatever its branches hold. */
const maxDepth = 64

/**
 * The leaf pages of the tree below `root`, from its last key to its first. Only one path of branch
 * pages is in memory. The yielded page holds until the next one is asked for.
 *
 * @throws `ERR_SNAPSHOT_INVALID`.
 */
export function* leavesBackwards(file: PageFile, root: number): Generator<Page> {
  // Children that are still to be visited, the next one last.
  const path: Partial<Child>[][] = [[{ id: root }]]
  for (;;) {
    const pending = path.at(-1)
    if (pending === undefined) return
    const { id, key } = pending.pop() ?? {}
    if (id === undefined) {
      path.pop()
      continue
    }
    const page = file.page(id)
    // A database that was copied while etcd wrote may have a page of later under a branch of before:
    // with newer records in the last place of all, nothing else would show that others are missing.
    if (key !== undefined && !file.isWhole && page.firstKey()?.equals(key) !== true) {
      throw invalidSnapshot('a page begins elsewhere than its parent says')
    }
    if (page.kind === 'leaf') {
      yield page
      continue
    }
    if (page.count === 0) throw invalidSnapshot('a branch has no children')
    if (path.length >= maxDepth) throw invalidSnapshot('its tree is deeper than can be')
    path.push([...page.children()])
  }
}

/**
 * The entries of the root bucket that are buckets: their names and where they are. Few, and each
 * value is copied.
 *
 * @throws `ERR_SNAPSHOT_INVALID`.
 */
export function readBuckets(file: PageFile, root: number): ReadonlyMap<string, Bucket> {
  const buckets = new Map<string, Bucket>()
  for (const page of leavesBackwards(file, root)) {
    for (let index = 0; index < page.count; index += 1) {
      const { key, value, isBucket } = page.leaf(index)
      if (isBucket) buckets.set(key.toString('latin1'), readBucket(value))
    }
    if (buckets.size > maxBuckets) throw invalidSnapshot('it has more buckets than etcd makes')
  }
  return buckets
}

const maxBuckets = 1000

/** A bucket: a tree of its own, or a page inside its parent's. */
export type Bucket = { readonly root: number } | { readonly inline: Page }

function readBucket(header: Buffer): Bucket {
  if (header.byteLength < 16) throw invalidSnapshot('a bucket has no header')
  const root = readId(header, 0)
  if (root !== 0) return { root }
  return { inline: new Page(Buffer.from(header.subarray(16)), 'inline') }
}

/** A bucket's leaf pages, last key first. */
export function* bucketLeaves(file: PageFile, bucket: Bucket): Generator<Page> {
  if ('root' in bucket) yield* leavesBackwards(file, bucket.root)
  else if (bucket.inline.kind === 'leaf') yield bucket.inline
  else throw invalidSnapshot('an inline bucket is no leaf')
}

/** The values of `names` in a small bucket, copied. */
export function findInBucket(
  file: PageFile,
  bucket: Bucket,
  names: readonly string[],
): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>()
  for (const page of bucketLeaves(file, bucket)) {
    for (let index = 0; index < page.count; index += 1) {
      const { key, value } = page.leaf(index)
      const name = key.toString('latin1')
      if (names.includes(name)) found.set(name, Buffer.from(value))
    }
  }
  return found
}
