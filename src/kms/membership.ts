import type { Clock } from '../base/clock.ts'
import type { KeyringMembership } from '../keyring/members.ts'
import type { Task } from '../net/run-tasks.ts'
import { createRateLimit } from '../observe/rate-limit.ts'
import type { KmsLog } from './events.ts'
import type { KmsHealth } from './findings.ts'
import type { KmsMetrics } from './metrics.ts'

const problemLogMs = 60_000

/**
 * The task that keeps this node a member of those that share a keyring, and tells of it; none where
 * the keyring is not shared.
 */
export function createMembershipTask(deps: {
  readonly membership: KeyringMembership | undefined
  readonly health: KmsHealth
  readonly metrics: KmsMetrics
  readonly log: KmsLog
  readonly clock: Clock
  /** The record of this node had been removed: what it serves may be behind. */
  readonly onRejoined: () => void
}): readonly Task[] {
  const { membership, health, metrics, log } = deps
  if (membership === undefined) return []
  const node = membership.name
  const seldom = createRateLimit({ intervalMs: problemLogMs, clock: deps.clock })
  const run = (signal: AbortSignal): Promise<void> =>
    membership.run(signal, {
      joined: (how) => {
        health.set('not-a-member', false)
        if (how === 'rejoined') deps.onRejoined()
        log.info('kms.member_joined', { node, how })
      },
      acknowledged: ({ generation }) => {
        metrics.acknowledged(generation)
        log.info('kms.generation_acknowledged', { node, generation })
      },
      problem: (error) => {
        health.set('not-a-member', true)
        const admitted = seldom.admit('problem')
        if (admitted !== undefined) log.warn('kms.member_problem', { node, ...admitted }, error)
      },
    })
  return [{ name: 'membership', run }]
}
