import { readSync } from 'node:fs'
import { invalidSnapshot } from './errors.ts'

/** A page larger than this is no page of etcd, whose requests are a few megabytes at most by default. */
export const maxPageBytes = 64 * 1024 * 1024

/**
 * A file of bbolt pages. Reads are synchronous: the kernel answers most of them from its cache within
 * microseconds, and going through the thread pool for each page takes ten times as long.
 */
export class PageFile {
  readonly #descriptor: number
  readonly #bytes: number
  readonly pageBytes: number
  /** Whether the file is known to be as etcd wrote it. */
  readonly isWhole: boolean
  /** One bit a page: a page that is met again makes a loop, or belongs to two trees. */
  readonly #seen: Uint8Array
  #buffer = Buffer.alloc(0)

  constructor(
    descriptor: number,
    about: { readonly bytes: number; readonly pageBytes: number; readonly isWhole: boolean },
  ) {
    this.#descriptor = descriptor
    this.#bytes = about.bytes
    this.pageBytes = about.pageBytes
    this.isWhole = about.isWhole
    this.#seen = new Uint8Array(Math.ceil(about.bytes / about.pageBytes / 8) + 1)
  }

  /**
   * A page with all its overflow, each page once in the life of this object. The view holds until
   * the next call, unless `keep` asks for an array of its own.
   *
   * @throws `ERR_SNAPSHOT_INVALID`.
   */
  page(id: number, options: { readonly keep?: boolean } = {}): Page {
    const at = id * this.pageBytes
    if (id < 2 || at + this.pageBytes > this.#bytes)
      throw invalidSnapshot('a page is not in the file')
    let bytes = this.#read(at, this.pageBytes, options)
    const overflow = bytes.readUInt32LE(12)
    const total = (overflow + 1) * this.pageBytes
    if (total > maxPageBytes || at + total > this.#bytes) {
      throw invalidSnapshot('a page is longer than can be')
    }
    for (let page = id; page <= id + overflow; page += 1) this.#visit(page)
    if (overflow > 0) bytes = this.#read(at, total, options)
    return new Page(bytes, id)
  }

  #visit(id: number): void {
    const [index, bit] = [id >>> 3, 1 << (id & 7)]
    const byte = this.#seen[index] ?? 0xff
    if ((byte & bit) !== 0) throw invalidSnapshot('a page is used twice')
    this.#seen[index] = byte | bit
  }

  #read(at: number, length: number, { keep = false }: { readonly keep?: boolean }): Buffer {
    if (keep) return readExactly(this.#descriptor, { into: Buffer.alloc(length), at })
    if (this.#buffer.byteLength < length) this.#buffer = Buffer.alloc(length)
    return readExactly(this.#descriptor, { into: this.#buffer.subarray(0, length), at })
  }
}

/** Fills `into` from the file. Throws `ERR_SNAPSHOT_INVALID` when the file ends before. */
export function readExactly(
  descriptor: number,
  { into, at }: { readonly into: Buffer; readonly at: number },
): Buffer {
  for (let done = 0; done < into.byteLength;) {
    const count = readSync(descriptor, into, done, into.byteLength - done, at + done)
    if (count === 0) throw invalidSnapshot('it ends too early')
    done += count
  }
  return into
}

const [headerBytes, elementBytes] = [16, 16]
const [branchFlag, leafFlag] = [0x01, 0x02]
const bucketFlag = 0x01

/** One entry of a leaf: a key and its value, or a nested bucket with its header as the value. */
export interface Leaf {
  readonly key: Buffer
  readonly value: Buffer
  readonly isBucket: boolean
}

/** One entry of a branch: a page, and the key it begins with. */
export interface Child {
  readonly id: number
  readonly key: Buffer
}

/** A page of bbolt (internal/common/page.go), little endian, as it is on every platform of etcd's. */
export class Page {
  readonly #bytes: Buffer
  readonly kind: 'branch' | 'leaf'
  readonly count: number

  /** `id` is checked against the page's own, unless it is inline in another page. Throws `ERR_SNAPSHOT_INVALID`. */
  constructor(bytes: Buffer, id: number | 'inline') {
    if (bytes.byteLength < headerBytes) throw invalidSnapshot('a page is shorter than its header')
    const flags = bytes.readUInt16LE(8)
    if (flags !== branchFlag && flags !== leafFlag) {
      throw invalidSnapshot('a page is of another kind than expected')
    }
    if (id !== 'inline' && readId(bytes, 0) !== id) throw invalidSnapshot('a page has another id')
    this.#bytes = bytes
    this.kind = flags === branchFlag ? 'branch' : 'leaf'
    this.count = bytes.readUInt16LE(10)
    if (headerBytes + this.count * elementBytes > bytes.byteLength) {
      throw invalidSnapshot('a page has more entries than room')
    }
  }

  /** Entry `index` of a leaf; key and value are views of the page. */
  leaf(index: number): Leaf {
    const at = headerBytes + index * elementBytes
    const flags = this.#bytes.readUInt32LE(at)
    const begin = at + this.#bytes.readUInt32LE(at + 4)
    const middle = begin + this.#bytes.readUInt32LE(at + 8)
    const end = middle + this.#bytes.readUInt32LE(at + 12)
    if (end > this.#bytes.byteLength) throw invalidSnapshot('an entry reaches out of its page')
    return {
      key: this.#bytes.subarray(begin, middle),
      value: this.#bytes.subarray(middle, end),
      isBucket: (flags & bucketFlag) !== 0,
    }
  }

  /** A branch's children in the order of their keys. */
  children(): readonly Child[] {
    return Array.from({ length: this.count }, (_, index) => {
      const at = headerBytes + index * elementBytes
      const begin = at + this.#bytes.readUInt32LE(at)
      const end = begin + this.#bytes.readUInt32LE(at + 4)
      if (end > this.#bytes.byteLength) throw invalidSnapshot('an entry reaches out of its page')
      return { id: readId(this.#bytes, at + 8), key: Buffer.from(this.#bytes.subarray(begin, end)) }
    })
  }

  /** The first key of the page, a view; `undefined` when it has none. */
  firstKey(): Buffer | undefined {
    if (this.count === 0) return undefined
    return this.kind === 'leaf' ? this.leaf(0).key : this.children()[0]?.key
  }
}

/** A page id, 64 bits. Throws `ERR_SNAPSHOT_INVALID` when it is beyond any file. */
export function readId(bytes: Buffer, at: number): number {
  const high = bytes.readUInt32LE(at + 4)
  if (high >= 2 ** 16) throw invalidSnapshot('a page number is beyond any file')
  return high * 2 ** 32 + bytes.readUInt32LE(at)
}
