import { openSnapshot } from '../../clients/snapshot/snapshot.ts'
import type { RecordSource, SourceFacts } from '../../storage/record.ts'

/**
 * A snapshot file as a source; it is opened each time it is read.
 *
 * @param path - Absolute.
 */
export function snapshotSource(path: string): RecordSource {
  let facts: SourceFacts = { location: path, revision: 0, hasHistory: true }
  return {
    get facts() {
      return facts
    },
    async *batches(signal) {
      const snapshot = await openSnapshot(path, { signal })
      try {
        yield* snapshot.batches(signal)
        const { checksum, revision, compactedRevision } = snapshot
        facts = { ...facts, revision, compactedRevision, checksum }
      } finally {
        await snapshot.close()
      }
    },
  }
}
