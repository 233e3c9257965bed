import type { Log } from '../../observe/log.ts'
import type { SidecarEvent } from '../agent/events.ts'
import type { SidecarMetrics } from '../metrics.ts'
import type { HookRunnerOptions } from './hook-runner.ts'

/** Tells logs and metrics what became of each hook. */
export function hookOutcomes(deps: {
  readonly log: Log<SidecarEvent>
  readonly metrics: SidecarMetrics
}): HookRunnerOptions['onOutcome'] {
  const { log, metrics } = deps
  return (hook, error) => {
    const outcome = error === undefined ? 'succeeded' : 'failed'
    metrics.count('hooks_total', `outcome="${outcome}"`)
    if (error === undefined) log.info('hook.succeeded', { kind: hook.kind })
    else log.warn('hook.failed', { kind: hook.kind }, error)
  }
}
