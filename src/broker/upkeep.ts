import type { Clock } from '../base/clock.ts'
import type { Health } from '../observe/health.ts'
import { watchCaBundle } from './ca-bundle.ts'
import type { Cluster } from './cluster.ts'
import type { BrokerLog } from './events.ts'
import type { BrokerFinding } from './reports.ts'
import type { Broker } from './service.ts'

const healthEveryMs = 1_000
const staleAfterMs = 60_000

/** Looks again and again whether the broker still sees what changes in the cluster. */
export async function watchHealth(deps: {
  readonly cluster: Cluster
  readonly health: Health<BrokerFinding>
  readonly clock: Clock
  readonly signal: AbortSignal
}): Promise<void> {
  const { cluster, health, clock, signal } = deps
  while (!signal.aborted) {
    // An outage of the API server makes no broker useless: its pods keep what they have.
    if (cluster.authorizer.staleMs() > staleAfterMs) {
      health.report({
        name: 'cluster',
        severity: 'degraded',
        reason: 'changes of permissions are not seen',
      })
    } else health.clear('cluster')
    await clock.sleep(healthEveryMs, signal).catch(() => undefined)
  }
}

/** Hands every new bundle of authorities to the broker. */
export async function distributeBundles(
  path: string,
  deps: {
    readonly bundle: Buffer
    readonly broker: Broker
    readonly log: BrokerLog
    readonly clock: Clock
    readonly signal: AbortSignal
  },
): Promise<void> {
  await watchCaBundle(path, {
    ...deps,
    current: deps.bundle,
    onChange: (next) => {
      deps.log.info('broker.ca_bundle', { bytes: next.byteLength })
      deps.broker.setCaBundle(next)
    },
    onProblem: (error) => {
      deps.log.error('broker.ca_bundle_refused', {}, error)
    },
  })
}
