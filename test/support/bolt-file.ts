/** A record of the bucket `key`, as it lies in the file. */
export interface BoltRecord {
  readonly main: number
  readonly sub?: number
  readonly tombstone?: boolean
  /** An encoded `mvccpb.KeyValue`, or what stands in its place. */
  readonly value: Uint8Array
}

const pageBytes = 4096
const [headerBytes, elementBytes] = [16, 16]
const [branchFlag, leafFlag] = [0x01, 0x02]

/**
 * The smallest bbolt database that could be etcd's: two meta pages, buckets `key` and `meta`, and each
 * of `leaves` as one page under a branch. Written from bbolt's own description of its pages
 * (internal/common), so that a file can be made that no etcd would write.
 */
export function boltFile(leaves: readonly (readonly BoltRecord[])[]): Buffer {
  const pages: Buffer[] = []
  const [rootPage, branchPage, firstLeaf] = [3, 4, 5]
  let next = firstLeaf
  const children: { readonly key: Buffer; readonly page: number }[] = []
  const leafPages = leaves.map((records) => {
    const page = leafPage(
      next,
      records.map((record) => [keyOf(record), record.value, 0]),
    )
    const [first] = records
    if (first === undefined) throw new RangeError('a leaf has a record')
    children.push({ key: keyOf(first), page: next })
    next += page.byteLength / pageBytes
    return page
  })
  const inline = Buffer.concat([Buffer.alloc(16), leafPage(0, []).subarray(0, headerBytes)])
  const keyBucket = Buffer.alloc(16)
  keyBucket.writeBigUInt64LE(BigInt(branchPage), 0)
  pages.push(metaPage(0, { root: rootPage, end: next, transaction: 7n }))
  pages.push(metaPage(1, { root: rootPage, end: next, transaction: 6n }))
  pages.push(pageOf(2, { flags: 0x10, count: 0, body: Buffer.alloc(0) }))
  pages.push(
    leafPage(rootPage, [
      [Buffer.from('key'), keyBucket, 1],
      [Buffer.from('meta'), inline, 1],
    ]),
  )
  pages.push(branchOf(branchPage, children), ...leafPages)
  return Buffer.concat(pages)
}

/** One meta page with its checksum right, at whatever place it is put. */
export function metaPage(
  id: number,
  meta: {
    readonly root: number
    readonly end: number
    readonly transaction: bigint
    readonly pageBytes?: number
  },
): Buffer {
  const body = Buffer.alloc(64)
  body.writeUInt32LE(0xed0cdaed, 0)
  body.writeUInt32LE(2, 4)
  body.writeUInt32LE(meta.pageBytes ?? pageBytes, 8)
  body.writeBigUInt64LE(BigInt(meta.root), 16)
  body.writeBigUInt64LE(2n, 32)
  body.writeBigUInt64LE(BigInt(meta.end), 40)
  body.writeBigUInt64LE(meta.transaction, 48)
  let hash = 0xcbf29ce484222325n
  for (const byte of body.subarray(0, 56)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  }
  body.writeBigUInt64LE(hash, 56)
  return pageOf(id, { flags: 0x04, count: 0, body })
}

function keyOf({ main, sub = 0, tombstone = false }: BoltRecord): Buffer {
  const key = Buffer.alloc(tombstone ? 18 : 17)
  key.writeBigUInt64BE(BigInt(main), 0)
  key.write('_', 8)
  key.writeBigUInt64BE(BigInt(sub), 9)
  if (tombstone) key.write('t', 17)
  return key
}

function leafPage(
  id: number,
  entries: readonly (readonly [key: Uint8Array, value: Uint8Array, flags: number])[],
): Buffer {
  const table = Buffer.alloc(entries.length * elementBytes)
  let at = table.byteLength
  const parts: Uint8Array[] = [table]
  for (const [index, [key, value, flags]] of entries.entries()) {
    const element = index * elementBytes
    table.writeUInt32LE(flags, element)
    table.writeUInt32LE(at - element, element + 4)
    table.writeUInt32LE(key.byteLength, element + 8)
    table.writeUInt32LE(value.byteLength, element + 12)
    parts.push(key, value)
    at += key.byteLength + value.byteLength
  }
  return pageOf(id, { flags: leafFlag, count: entries.length, body: Buffer.concat(parts) })
}

function branchOf(
  id: number,
  children: readonly { readonly key: Buffer; readonly page: number }[],
): Buffer {
  const table = Buffer.alloc(children.length * elementBytes)
  let at = table.byteLength
  for (const [index, { key, page }] of children.entries()) {
    const element = index * elementBytes
    table.writeUInt32LE(at - element, element)
    table.writeUInt32LE(key.byteLength, element + 4)
    table.writeBigUInt64LE(BigInt(page), element + 8)
    at += key.byteLength
  }
  const body = Buffer.concat([table, ...children.map(({ key }) => key)])
  return pageOf(id, { flags: branchFlag, count: children.length, body })
}

function pageOf(
  id: number,
  { flags, count, body }: { readonly flags: number; readonly count: number; readonly body: Buffer },
): Buffer {
  const page = Buffer.alloc(Math.ceil((headerBytes + body.byteLength) / pageBytes) * pageBytes)
  page.writeBigUInt64LE(BigInt(id), 0)
  page.writeUInt16LE(flags, 8)
  page.writeUInt16LE(count, 10)
  page.writeUInt32LE(page.byteLength / pageBytes - 1, 12)
  page.set(body, headerBytes)
  return page
}
