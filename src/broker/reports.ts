import type { Health } from '../observe/health.ts'
import type { SourceProblem } from '../secrets/source.ts'
import type { BrokerLog } from './events.ts'
import type { BrokerMetrics } from './metrics.ts'

/** What makes a broker wrong about itself. */
export type BrokerFinding = 'audit' | 'draining' | 'cluster'

/** How a broker tells of what happens to the things it is given. */
export interface BrokerReports {
  readonly sourceProblem: SourceProblem
  readonly clusterProblem: (error: unknown) => void
  readonly auditHealth: (problem: unknown) => void
  readonly auditCheckpoint: (head: {
    readonly chain: string
    readonly seq: number
    readonly hash: string
  }) => void
}

/** Turns the troubles of a broker's parts into log lines, metrics and health. */
export function createReports(deps: {
  readonly log: BrokerLog
  readonly metrics: BrokerMetrics
  readonly health: Health<BrokerFinding>
}): BrokerReports {
  const { log, metrics, health } = deps
  metrics.auditHealthy(true)
  return {
    sourceProblem: (error, { namespace, name }) => {
      metrics.sourceProblem()
      log.warn('source.failing', { namespace, ...(name === undefined ? {} : { name }) }, error)
    },
    clusterProblem: (error) => {
      metrics.clusterProblem()
      log.warn('cluster.failing', {}, error)
    },
    auditHealth: (problem) => {
      metrics.auditHealthy(problem === undefined)
      if (problem === undefined) {
        health.clear('audit')
        log.info('broker.audit_mended')
        return
      }
      health.report({ name: 'audit', severity: 'failing', reason: 'the audit cannot be written' })
      log.error('broker.audit_failing', {}, problem)
    },
    auditCheckpoint: (head) => {
      metrics.auditCheckpoint(head.seq)
      log.info('audit.checkpoint', { ...head })
    },
  }
}
