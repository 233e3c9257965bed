import type { Clock } from '../../../../base/clock.ts'
import { LatchkeyError } from '../../../../base/errors.ts'
import type { EtcdClient } from '../../../../clients/etcd/client.ts'
import { scan } from '../../../../storage/scan.ts'
import { migrate } from '../../../etcd/migrate/migrate.ts'
import { objectId, remedies } from '../../../etcd/migrate/report.ts'
import type { StaleObject } from '../../../etcd/migrate/stale.ts'
import { liveSource } from '../../../etcd/live-source.ts'
import type { Migrator } from '../ports.ts'
import { isOutage } from '../prove.ts'
import { maxRequests, type Connections } from './connections.ts'

/** Rewrites exactly what etcd shows to be under the old keys, through the first API server that answers. */
export function staleMigrator(
  connections: Connections,
  options: {
    readonly etcd: readonly EtcdClient[]
    readonly prefix: string
    readonly clock: Clock
    readonly jitter: () => number
    /** Most objects a second; `undefined`: as many as the API server likes. */
    readonly rate: number | undefined
  },
): Migrator {
  const { etcd, prefix, clock, jitter, rate } = options
  return {
    migrate: async ({ resources, keyIds }, { servers, onProgress, signal }) => {
      let failure: unknown = new LatchkeyError(
        'ERR_KUBERNETES_UNAVAILABLE',
        'there is no API server to rewrite objects through',
      )
      for (const { url } of servers) {
        try {
          const report = await migrate({
            client: connections.to(url),
            resources,
            stale: (resource) => staleObjects(etcd, { prefix, resource, keyIds, signal }),
            workers: maxRequests,
            rate,
            dryRun: false,
            progress: ({ resource, done, total, secondsLeft }) => {
              onProgress({ resource, done, total, etaSeconds: secondsLeft })
            },
            clock,
            random: jitter,
            signal,
          })
          return {
            rewritten: report.resources.reduce((sum, it) => sum + it.rewritten, 0),
            stuck: report.refused.map((object) => ({
              name: objectId(object),
              cause: `${object.cause}, ${object.detail}`,
              remedy: remedies[object.cause],
            })),
          }
        } catch (error) {
          if (!isOutage(error)) throw error
          failure = error
        }
      }
      throw failure
    },
  }
}

async function* staleObjects(
  etcd: readonly EtcdClient[],
  options: {
    readonly prefix: string
    readonly resource: string
    readonly keyIds: ReadonlySet<string>
    readonly signal: AbortSignal
  },
): AsyncGenerator<StaleObject> {
  const { prefix, resource, keyIds, signal } = options
  const found: StaleObject[] = []
  await scan(
    etcd.map((client) => liveSource(client, { prefix, resources: new Set([resource]) })),
    {
      prefix,
      resources: new Set([resource]),
      expect: { keyIds: new Set() },
      onUnexpected: ({ keyId, namespace, name }) => {
        if (keyId !== undefined && keyIds.has(keyId)) found.push({ namespace, name })
      },
      signal,
    },
  )
  yield* found
}
