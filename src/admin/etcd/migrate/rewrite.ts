import type { Clock } from '../../../base/clock.ts'
import { isLatchkeyError, LatchkeyError } from '../../../base/errors.ts'
import { backoffMs, type Backoff } from '../../../base/retry.ts'
import type { Answer } from '../../../clients/kubernetes-exchange.ts'
import { metadataOnly } from '../../../clients/kubernetes-watch.ts'
import type { KubernetesClient } from '../../../clients/kubernetes.ts'
import type { ServedResource } from './discovery.ts'
import type { ListedObject } from './listing.ts'
import type { Pacer } from './pacer.ts'
import { judge } from './refusal.ts'
import type { RefusalCause } from './report.ts'

/** What became of one object. */
export type Rewritten =
  | { readonly kind: 'rewritten' | 'unchanged' | 'gone' }
  | { readonly kind: 'refused'; readonly cause: RefusalCause; readonly detail: string }

/** What rewriting takes. */
export interface RewriteDeps {
  readonly client: KubernetesClient
  readonly pacer: Pacer
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly dryRun: boolean
  readonly signal: AbortSignal
}

const backoff: Backoff = { initialMs: 250, maxMs: 10_000, factor: 2 }
/** Tries of an object on which the server fails, or which others write all the time. */
const maxTries = 6
/** Tries of one that the server has no room for: with the longest waits, some minutes. */
const maxThrottled = 40
/** Tries of one while nobody answers: half an hour without an API server ends a migration. */
const maxOutage = 180

/** An object of which its place is known, or more. */
export interface Target {
  readonly namespace: string
  readonly name: string
  /** Fetched first when it is not there. */
  readonly listed?: ListedObject
}

/** A listed object as a target. */
export function targetOf(listed: ListedObject): Target {
  return { namespace: listed.namespace, name: listed.name, listed }
}

/**
 * Has the API server write an object again as it is, by a merge patch that changes nothing and says
 * which object is meant by its uid: it reads, and, when what is stored is stale, writes (etcd3
 * store.go, GuaranteedUpdate). A deleted object is not made again, as a patch of what is not there is
 * a 404; what others write at the same time stays, as the patch is applied to whatever is there.
 *
 * @throws `ERR_KUBERNETES_UNAVAILABLE`, `ERR_KUBERNETES_UNAUTHENTICATED` when going on makes no sense.
 */
export async function rewrite(
  resource: ServedResource,
  target: Target,
  deps: RewriteDeps,
): Promise<Rewritten> {
  const path = resource.path(target.namespace, target.name)
  let current = target.listed
  const tries = { failed: 0, throttled: 0, outage: 0, refusedLogin: 0 }
  for (;;) {
    const answer = await ask(path, current, deps)
    if (answer === undefined) {
      if ((tries.outage += 1) > maxOutage) throw gaveUp('ERR_KUBERNETES_UNAVAILABLE')
      await pause(tries.outage, undefined, deps)
      continue
    }
    const verdict = judge(answer)
    switch (verdict.kind) {
      case 'answered': {
        const former = current
        current = verdict.object
        if (former === undefined) break
        const same = former.resourceVersion === current.resourceVersion
        return { kind: same ? 'unchanged' : 'rewritten' }
      }
      case 'gone':
        return { kind: 'gone' }
      case 'refused':
        return refusal(current, verdict)
      case 'unauthenticated':
        // The credentials have been read again by now; that the new ones fail too is final.
        if ((tries.refusedLogin += 1) > 2) throw gaveUp('ERR_KUBERNETES_UNAUTHENTICATED')
        await pause(tries.refusedLogin, undefined, deps)
        break
      case 'conflict':
        if ((tries.failed += 1) > maxTries) {
          return refusal(current, { cause: 'conflict', detail: `${maxTries} tries` })
        }
        await pause(tries.failed, undefined, deps)
        // Deleted and made again, it is another object, and has another uid.
        current = undefined
        break
      case 'retry': {
        const [count, most] =
          answer.status === 429
            ? [(tries.throttled += 1), maxThrottled]
            : [(tries.failed += 1), maxTries]
        if (count > most) return refusal(current, verdict)
        await pause(count, answer.retryAfterMs, deps)
      }
    }
  }
}

/**
 * Sends the patch, or, of an object that is not known yet, asks for its metadata, when it is its turn;
 * `undefined` when nobody answered.
 */
async function ask(
  path: string,
  object: ListedObject | undefined,
  { client, pacer, dryRun, signal }: RewriteDeps,
): Promise<Answer | undefined> {
  const done = await pacer.enter()
  const common = { accept: metadataOnly.watch, timeoutMs: 60_000, signal }
  try {
    const answer =
      object === undefined
        ? await client.exchange('GET', path, common)
        : await client.exchange('PATCH', path, {
            ...common,
            body: { metadata: { uid: object.uid } },
            contentType: 'application/merge-patch+json',
            ...(dryRun ? { query: { dryRun: 'All' } } : {}),
          })
    done(answer.status === 429 || answer.status === 503 ? 'throttled' : 'answered')
    return answer
  } catch (error) {
    done('failed')
    if (isLatchkeyError(error, 'ERR_KUBERNETES_UNAVAILABLE')) return undefined
    throw error
  }
}

async function pause(
  attempt: number,
  retryAfterMs: number | undefined,
  { clock, random, signal }: RewriteDeps,
): Promise<void> {
  const jittered = backoffMs(backoff, attempt - 1, random)
  await clock.sleep(Math.max(jittered, (retryAfterMs ?? 0) * (1 + random() / 4)), signal)
}

function refusal(
  object: ListedObject | undefined,
  { cause, detail }: { readonly cause: RefusalCause; readonly detail: string },
): Rewritten {
  if (object?.terminating !== true) return { kind: 'refused', cause, detail }
  const finalizers = object.finalizers.filter((it) => /^[\w./-]{1,253}$/.test(it)).join(', ')
  return {
    kind: 'refused',
    cause: 'terminating',
    detail: `finalizers ${finalizers === '' ? 'none' : finalizers}; ${cause}: ${detail}`,
  }
}

function gaveUp(
  code: 'ERR_KUBERNETES_UNAVAILABLE' | 'ERR_KUBERNETES_UNAUTHENTICATED',
): LatchkeyError {
  return new LatchkeyError(
    code,
    code === 'ERR_KUBERNETES_UNAVAILABLE'
      ? 'the API server has not answered for half an hour'
      : 'the API server no longer accepts the credentials of this kubeconfig',
    { hint: 'run the same command again when that is mended: it goes on where it was' },
  )
}
