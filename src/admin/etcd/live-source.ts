import type { EtcdClient } from '../../clients/etcd/client.ts'
import { prefixEnd } from '../../clients/etcd/messages.ts'
import type { RecordSource, SourceFacts } from '../../storage/record.ts'
import { keyPrefixOf } from '../../storage/resource.ts'

/**
 * A running etcd as a source: all at one revision, page by page. Superseded revisions are not among
 * the records, as etcd serves those only to who knows their revision. The client stays the caller's.
 *
 * With `resources`, only their keys are read.
 */
export function liveSource(
  client: Pick<EtcdClient, 'location' | 'pages'>,
  options: { readonly resources?: ReadonlySet<string>; readonly prefix?: string } = {},
): RecordSource {
  let facts: SourceFacts = { location: client.location, revision: 0, hasHistory: false }
  const everything = { from: Buffer.of(0), rangeEnd: Buffer.of(0) }
  const ranges =
    options.resources === undefined
      ? [everything]
      : [...options.resources].map((resource) => {
          const from = keyPrefixOf(resource, options.prefix)
          return { from, rangeEnd: prefixEnd(from) }
        })
  return {
    get facts() {
      return facts
    },
    async *batches(signal) {
      // The first page says which revision the others are read at.
      let revision = 0
      for (const { from, rangeEnd } of ranges) {
        for await (const page of client.pages(from, { rangeEnd, revision, signal })) {
          revision = page.revision
          facts = { ...facts, revision }
          yield page.entries.map(({ key, value, modRevision }) => ({
            key,
            value,
            modRevision,
            state: 'current' as const,
          }))
        }
      }
    },
  }
}
