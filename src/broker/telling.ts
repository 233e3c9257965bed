import type { Clock } from '../base/clock.ts'
import type { LogFields } from '../observe/log.ts'
import { createRateLimit } from '../observe/rate-limit.ts'
import type { BrokerLog } from './events.ts'
import type { Identity } from './identity.ts'
import type { BrokerMetrics } from './metrics.ts'
import type { BrokerObserver, ObservedStream } from './observer.ts'
import type { PodEvents } from './pod-events.ts'

/** Ends of a stream that belong to a pod's life. */
const usual: ReadonlySet<string> = new Set([
  'cancelled',
  'draining',
  'superseded',
  'pod-gone',
  'pod-finished',
])
const refusalsApartMs = 10_000

/** Tells what the broker does: in the log, in metrics, and in Events on waiting pods. */
export function createTelling(deps: {
  readonly log: BrokerLog
  readonly metrics: BrokerMetrics
  readonly podEvents: PodEvents
  readonly clock: Clock
}): BrokerObserver {
  const { log, metrics, podEvents } = deps
  const refusals = createRateLimit({ intervalMs: refusalsApartMs, clock: deps.clock })
  return {
    opened: (stream, openMs) => {
      metrics.opened(openMs)
      const references = stream.references.length
      log.debug('stream.opened', { ...about(stream), references, ms: Math.round(openMs) })
    },
    refused: (reason, { peer, identity, error }) => {
      metrics.refused(reason)
      const admitted = refusals.admit(`${reason} ${identity?.pod.uid ?? peer}`)
      if (admitted === undefined) return
      const fields = { reason, peer, ...subject(identity), ...admitted }
      if (reason === 'internal') log.error('broker.internal_error', fields, error)
      else log.warn('stream.refused', fields, error)
    },
    ended: (stream, reason, error) => {
      metrics.ended(reason)
      const seconds = Math.round(stream.ageMs / 1000)
      const fields = { ...about(stream), reason, seconds }
      if (reason === 'internal') log.error('broker.internal_error', fields, error)
      else if (usual.has(reason)) log.debug('stream.ended', fields)
      else log.warn('stream.ended', fields, error)
    },
    delivered: (stream, set) => {
      metrics.delivered()
      const count = (status: string): number =>
        set.items.filter((item) => item.status === status).length
      log.debug('stream.delivered', {
        ...about(stream),
        sequence: set.sequence,
        ready: count('ready'),
        denied: count('denied'),
        notFound: count('not-found'),
        unavailable: count('unavailable'),
      })
    },
    acknowledged: (stream, { sequence, outcome, secret }) => {
      metrics.acknowledged(outcome)
      const fields = { ...about(stream), sequence, outcome, ...(secret === '' ? {} : { secret }) }
      if (outcome === 'written') log.debug('stream.acknowledged', fields)
      else log.warn('stream.acknowledged', fields)
    },
    waiting: (stream, items) => {
      podEvents.waiting(stream, items)
      if (items.length === 0) return
      const secrets = items.map(({ secret, status, reason }) =>
        status === 'unavailable' ? `${secret}: ${status} (${reason})` : `${secret}: ${status}`,
      )
      log.info('stream.waiting', { ...about(stream), secrets })
    },
    tokenRefreshed: (stream) => {
      log.debug('stream.token_refreshed', about(stream))
    },
    tokenRefreshRefused: (stream, error) => {
      log.warn('stream.token_refresh_refused', about(stream), error)
    },
    concurrent: (stream) => {
      metrics.concurrent()
      log.warn('stream.concurrent', about(stream))
    },
    otherAddress: (identity, peer) => {
      metrics.otherAddress()
      log.warn('stream.other_address', { ...subject(identity), peer })
    },
    decided: (decision, { account, secret }) => {
      metrics.decided(decision)
      const { namespace, name } = account
      log.info('permission.decided', { namespace, account: name, secret, decision })
    },
    draining: (streams) => {
      metrics.draining()
      log.info('broker.draining', { streams })
    },
  }
}

function about(stream: ObservedStream): LogFields {
  return { ...subject(stream.identity), peer: stream.peer, client: stream.client }
}

function subject(identity: Identity | undefined): LogFields {
  if (identity === undefined) return {}
  const { account, pod } = identity
  return { namespace: account.namespace, account: account.name, pod: pod.name }
}
