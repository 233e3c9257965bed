import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import { backoffMs, type Backoff } from '../../base/retry.ts'
import { SecretBytes } from '../../base/secret.ts'
import { metaOf, objectOf } from '../../clients/kubernetes-objects.ts'
import { SecretContent } from '../content.ts'
import type { SecretTarget } from '../reference.ts'
import type { SecretObservation } from '../source.ts'
import type { KubernetesSourceDeps } from './kubernetes.ts'

/** One Secret that is followed, whatever the number of those who follow it. */
export interface KubernetesSecret {
  readonly listeners: Set<() => void>
  current(): SecretObservation | undefined
  /** Milliseconds since the last reading that succeeded; `Infinity` before the first. */
  ageMs(): number
  /** Whether the latest reading failed. */
  failing(): boolean
  /** Reads the Secret; while it is being read, at most one more reading is remembered. */
  reload(): void
  /** Wipes what is held; nothing is called any more. */
  end(): void
}

const backoff: Backoff = { initialMs: 100, maxMs: 5_000, factor: 2 }

/** Follows one Secret: reads it now, at every {@link KubernetesSecret.reload}, and again while that fails. */
export function createKubernetesSecret(
  target: SecretTarget,
  deps: KubernetesSourceDeps & { readonly signal: AbortSignal },
): KubernetesSecret {
  const listeners = new Set<() => void>()
  const stop = new AbortController()
  const signal = AbortSignal.any([stop.signal, deps.signal])
  const ended = (): boolean => signal.aborted
  let observation: SecretObservation | undefined
  let confirmedAtMs: number | undefined
  let failing = false
  let wanted = 0
  let done = 0
  let running = false

  const settle = (content: SecretContent | undefined): void => {
    confirmedAtMs = deps.clock.monotonicMs()
    failing = false
    const former = observation
    if (same(former, content)) {
      content?.[Symbol.dispose]()
      return
    }
    observation = content === undefined ? { state: 'absent' } : { state: 'present', content }
    for (const listener of [...listeners]) listener()
    wipe(former)
  }

  const run = async (): Promise<void> => {
    for (let failures = 0; done < wanted && !ended();) {
      const reading = wanted
      try {
        const content = await read(target, deps, signal)
        if (ended()) content?.[Symbol.dispose]()
        else settle(content)
        done = reading
        failures = 0
      } catch (error) {
        if (ended()) return
        failing = true
        deps.onProblem(error, target)
        await deps.clock
          .sleep(backoffMs(backoff, failures, deps.random), signal)
          .catch(() => undefined)
        failures += 1
      }
    }
    running = false
  }

  const reload = (): void => {
    wanted += 1
    if (running) return
    running = true
    void run()
  }
  reload()
  return {
    listeners,
    current: () => observation,
    ageMs: () =>
      confirmedAtMs === undefined ? Infinity : deps.clock.monotonicMs() - confirmedAtMs,
    failing: () => failing,
    reload,
    end: () => {
      stop.abort()
      listeners.clear()
      wipe(observation)
      observation = undefined
    },
  }
}

async function read(
  target: SecretTarget,
  deps: KubernetesSourceDeps,
  signal: AbortSignal,
): Promise<SecretContent | undefined> {
  const path = `/api/v1/namespaces/${target.namespace}/secrets/${target.name}`
  let object: unknown
  try {
    object = await deps.client.request('GET', path, { signal })
  } catch (error) {
    if (isLatchkeyError(error, 'ERR_KUBERNETES_NOT_FOUND')) return undefined
    throw error
  }
  // Whatever else may answer 200 must not pass for a Secret that has no keys.
  const { namespace, name } = metaOf(object)
  if (namespace !== target.namespace || name !== target.name) {
    throw new LatchkeyError(
      'ERR_KUBERNETES_REFUSED',
      `the answer to GET ${path} is not that Secret`,
      { hint: 'check the API server’s address, and what stands before it' },
    )
  }
  const data = Object.entries(objectOf(objectOf(object)['data']))
  return SecretContent.take(
    data.map(([key, value]) => ({
      key,
      value: SecretBytes.take(
        new Uint8Array(Buffer.from(typeof value === 'string' ? value : '', 'base64')),
      ),
    })),
  )
}

function same(
  observation: SecretObservation | undefined,
  content: SecretContent | undefined,
): boolean {
  if (observation?.state !== 'present') {
    return observation?.state === 'absent' && content === undefined
  }
  return content !== undefined && observation.content.equals(content)
}

function wipe(observation: SecretObservation | undefined): void {
  if (observation?.state === 'present') observation.content[Symbol.dispose]()
}
