import type { EtcdClient } from '../../../../clients/etcd/client.ts'
import type { RecordSource } from '../../../../storage/record.ts'
import { scan, type ScanReport } from '../../../../storage/scan.ts'
import { objectId } from '../../../etcd/migrate/report.ts'
import { liveSource } from '../../../etcd/live-source.ts'
import { maxNamed, type Storage, type StorageView } from '../ports.ts'

/** Reads all of etcd by way of the scanner. */
export function scannedStorage(
  etcd: readonly Pick<EtcdClient, 'location' | 'pages' | 'clusterId'>[],
  prefix: string,
): Storage {
  return {
    scan: async (keyIds, { onProgress, signal }) => {
      const needing: string[] = []
      const sources: RecordSource[] = etcd.map((client) => liveSource(client))
      const report = await scan(sources, {
        prefix,
        // Nothing is expected: every encrypted object is reported, and told apart here.
        expect: { keyIds: new Set() },
        onUnexpected: (object) => {
          if (object.keyId === undefined || !keyIds.has(object.keyId)) return
          if (needing.length < maxNamed) needing.push(objectId(object))
        },
        onElsewhere: ({ key, keyId }) => {
          if (keyId === undefined || !keyIds.has(keyId)) return
          if (needing.length < maxNamed) needing.push(key)
        },
        onProgress: (objects) => {
          onProgress(objects)
        },
        signal,
      })
      const ids = await Promise.all(etcd.map((client) => client.clusterId({ signal })))
      const clusters = report.sources.map(({ revision }, index) => ({
        id: String(ids[index]),
        revision,
      }))
      return { ...viewOf(report, keyIds), needing, clusters }
    },
  }
}

function viewOf(
  report: ScanReport,
  keyIds: ReadonlySet<string>,
): Omit<StorageView, 'needing' | 'clusters'> {
  const count = (rows: readonly { readonly objects: number }[]): number =>
    rows.reduce((sum, { objects }) => sum + objects, 0)
  const uses = report.resources.flatMap(({ resource, provider, keyId, objects }) =>
    keyId === undefined ? [] : [{ resource, provider, keyId, objects }],
  )
  return {
    revision: Math.min(...report.sources.map(({ revision }) => revision)),
    objects: count(report.resources),
    uses,
    needingCount: count(
      [...uses, ...report.elsewhere].filter(
        ({ keyId }) => keyId !== undefined && keyIds.has(keyId),
      ),
    ),
    // What is not encrypted at all needs no key, whatever it is.
    undecodable: count(report.undecodable.filter(({ provider }) => provider !== 'identity')),
    unknownV1: count(
      report.resources.filter(
        ({ provider, keyId }) => provider.startsWith('kms:v1:') && keyId === undefined,
      ),
    ),
  }
}
