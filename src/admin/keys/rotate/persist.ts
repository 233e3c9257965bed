import {
  isLatchkeyError,
  LatchkeyError,
  describeError,
  type ErrorCode,
} from '../../../base/errors.ts'
import { backoffMs, type Backoff } from '../../../base/retry.ts'
import type { StepName } from './events.ts'
import type { RotationPorts } from './ports.ts'

/** What an outage, or somebody else's change, looks like: looking again may show another picture. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_KUBERNETES_UNAVAILABLE',
  'ERR_KUBERNETES_CONFLICT',
  'ERR_KEYRING_CONFLICT',
  'ERR_ETCD_UNAVAILABLE',
  'ERR_ETCD_UNCERTAIN',
  'ERR_BUSY',
])

const backoff: Backoff = { initialMs: 250, maxMs: 5_000, factor: 2 }

/** A try that lasted so long had got somewhere: the outage began with its end. */
const longTryMs = 30_000

/**
 * Runs a step over outages: repeats it until it succeeds, fails for good, or has failed for
 * `timeoutMs`. The step must look at the state of things anew each time, as a change of which nobody
 * knows whether it was made may have been.
 *
 * @throws what the step last threw.
 */
export async function persist<T>(
  ports: Pick<RotationPorts, 'clock' | 'jitter' | 'tell'>,
  options: { readonly step: StepName; readonly timeoutMs: number; readonly signal: AbortSignal },
  run: () => Promise<T>,
): Promise<T> {
  let failingSinceMs: number | undefined
  for (let attempt = 0; ; attempt += 1) {
    options.signal.throwIfAborted()
    const beganMs = ports.clock.monotonicMs()
    try {
      return await run()
    } catch (error) {
      if (!isLatchkeyError(error) || !passing.has(error.code)) throw error
      const nowMs = ports.clock.monotonicMs()
      if (failingSinceMs === undefined || nowMs - beganMs > longTryMs) failingSinceMs = nowMs
      if (nowMs - failingSinceMs >= options.timeoutMs) throw error
      const text = `${describeError(error)}; trying again`
      ports.tell({ event: 'step', step: options.step, state: 'progress', text })
    }
    await ports.clock.sleep(backoffMs(backoff, attempt, ports.jitter), options.signal)
  }
}

/** A refusal: going on could lose data. What was done stays, and repeating the command goes on. */
export function refuse(message: string, hint: string): LatchkeyError {
  return new LatchkeyError('ERR_WOULD_LOSE_DATA', message, { hint })
}
