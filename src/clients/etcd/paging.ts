import { differentClusters, idsOf } from './clusters.ts'
import { readRange, rangeRequest } from './codec.ts'
import type { CallLimits, EtcdConnections } from './connections.ts'
import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import { keyBytes, prefixEnd, type EtcdEntry, type EtcdKey, type RangeQuery } from './messages.ts'

/** What is read page by page. */
export interface PagesQuery extends Omit<RangeQuery, 'limit' | 'countOnly'> {
  /** Aim for the bytes of one page. Default 4 MiB. */
  readonly pageBytes?: number
  /** Milliseconds for each page. Default 30,000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** Some entries of a range. */
export interface EtcdPage {
  readonly entries: readonly EtcdEntry[]
  /** The one revision that all pages show. */
  readonly revision: number
  /** Entries in the whole range. */
  readonly total: number
}

/** Which cluster the first page came from; the same for all that one client reads. */
export interface PagesCluster {
  id?: number
}

const defaultPageBytes = 4 << 20
const firstLimit = 50
const largestLimit = 2_000

/**
 * A range of any length, in order of keys and as it was at one revision. Only one page is in memory:
 * its number of entries follows the size of those before.
 *
 * @throws `ERR_ETCD_COMPACTED` when the revision is compacted away meanwhile; `ERR_USAGE` when a member of
 * another cluster answers; `ERR_MESSAGE_INVALID` when the pages are not what was announced; and as
 * every read.
 */
export async function* readPages(
  connections: EtcdConnections,
  key: EtcdKey,
  query: PagesQuery,
  cluster: PagesCluster,
): AsyncGenerator<EtcdPage> {
  const limits: CallLimits = {
    kind: 'read',
    timeoutMs: query.timeoutMs ?? 30_000,
    signal: query.signal,
  }
  const aim = query.pageBytes ?? defaultPageBytes
  let { revision = 0 } = query
  let [from, limit]: [EtcdKey, number] = [key, firstLimit]
  let total: number | undefined
  let seen = 0
  let narrowed: { readonly rangeEnd?: Uint8Array } = {}
  for (;;) {
    const request = rangeRequest(from, { ...query, ...narrowed, limit, revision }).encode()
    let answer: Buffer
    try {
      answer = await connections.unary('KV/Range', request, limits)
    } catch (error) {
      // Larger than this client takes in one answer: ask for less.
      if (limit === 1 || !isLatchkeyError(error, 'ERR_ETCD_TOO_LARGE')) throw error
      limit = Math.max(1, Math.floor(limit / 8))
      continue
    }
    const { clusterId } = idsOf(answer)
    // Whoever is asked instead of a member that has gone must be of its cluster.
    if (clusterId !== (cluster.id ??= clusterId)) throw differentClusters(connections.names)
    const page = readRange(answer)
    if (revision === 0) revision = page.revision
    total ??= page.count
    seen += page.entries.length
    yield { entries: page.entries, revision, total }
    if (!page.more && narrowed.rangeEnd !== undefined) {
      from = narrowed.rangeEnd
      narrowed = {}
      continue
    }
    if (!page.more || page.entries.length === 0) break
    const mean = Math.max(1, answer.byteLength / page.entries.length)
    limit = Math.min(largestLimit, 2 * limit, Math.max(1, Math.floor(aim / mean)))
    // The next key that there can be.
    from = Buffer.concat([page.lastKey, Buffer.of(0)])
    narrowed = narrow(query.rangeEnd, page)
  }
  // At one revision a range has so many keys and no fewer, or a proof would rest on what is missing.
  if (seen === total) return
  throw new LatchkeyError('ERR_MESSAGE_INVALID', `etcd gave ${seen} of ${total} entries`)
}

/**
 * The end of the directory that all of a page is in, where that is nearer than the range's: for each
 * page etcd counts every key to the end that it is given, which takes longer than reading the page
 * where a million are left.
 */
function narrow(
  rangeEnd: EtcdKey | undefined,
  { firstKey, lastKey }: { readonly firstKey: Buffer; readonly lastKey: Buffer },
): { readonly rangeEnd?: Uint8Array } {
  let common = 0
  while (common < firstKey.byteLength && firstKey[common] === lastKey[common]) common += 1
  const slash = firstKey.subarray(0, common).lastIndexOf('/')
  if (slash <= 0 || rangeEnd === undefined) return {}
  const near = prefixEnd(firstKey.subarray(0, slash + 1))
  const far = Buffer.from(keyBytes(rangeEnd))
  const isNearer = far.equals(Buffer.of(0)) || far.compare(near) > 0
  return isNearer ? { rangeEnd: near } : {}
}
