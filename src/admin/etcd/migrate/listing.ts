import type { Clock } from '../../../base/clock.ts'
import { isLatchkeyError, LatchkeyError } from '../../../base/errors.ts'
import { retry, type Backoff } from '../../../base/retry.ts'
import { statusError } from '../../../clients/kubernetes-errors.ts'
import { listOf, metaOf, objectOf, textOf, textsOf } from '../../../clients/kubernetes-objects.ts'
import { metadataOnly } from '../../../clients/kubernetes-watch.ts'
import type { KubernetesClient } from '../../../clients/kubernetes.ts'
import type { ServedResource } from './discovery.ts'

/** What is known of an object before it is rewritten. Its content never leaves the API server. */
export interface ListedObject {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly resourceVersion: string
  /** Whether somebody has asked for its deletion. */
  readonly terminating: boolean
  readonly finalizers: readonly string[]
}

/** Some objects, and how many come after them when the server tells. */
export interface ListedPage {
  readonly objects: readonly ListedObject[]
  readonly remaining: number | undefined
}

const pageSize = '500'
const timeoutMs = 60_000
const backoff: Backoff = { initialMs: 500, maxMs: 10_000, factor: 2 }
const attempts = 8

/** What asking again takes. */
export interface RetryDeps {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly signal: AbortSignal
}

/**
 * Every object of a resource, as metadata, in pages. When the place to go on from has expired (410),
 * the list goes on from there at a newer revision: what was written in between is fresh anyway.
 *
 * @throws `ERR_KUBERNETES_*`; `ERR_KUBERNETES_UNAVAILABLE` also when one object cannot be decrypted.
 */
export async function* listMetadata(
  client: KubernetesClient,
  resource: ServedResource,
  deps: RetryDeps,
): AsyncGenerator<ListedPage> {
  const path = resource.collection
  for (let next = '', first = true; first || next !== ''; first = false) {
    const page = await persist(deps, async () => {
      const answer = await client.exchange('GET', path, {
        query: { limit: pageSize, ...(next === '' ? {} : { continue: next }) },
        accept: metadataOnly.list,
        timeoutMs,
        signal: deps.signal,
      })
      const body = answer.status === 200 || answer.status === 410 ? parse(answer.body) : {}
      const token = textOf(objectOf(body['metadata']), 'continue')
      const goesOn = answer.status === 410 && token !== '' && token !== next
      if (answer.status !== 200 && !goesOn) {
        throw answer.status === 500
          ? unlistable(resource)
          : statusError(answer.status, { method: 'GET', path })
      }
      return { body, token, expired: answer.status === 410 }
    })
    next = page.token
    if (page.expired) continue
    const remaining = objectOf(page.body['metadata'])['remainingItemCount']
    yield {
      objects: listOf(page.body, 'items').map(listedObject),
      remaining: typeof remaining === 'number' ? remaining : next === '' ? 0 : undefined,
    }
  }
}

/**
 * One object that cannot be decrypted makes the API server answer 500 to every list that it is in
 * (InterpretListError), and says so in words alone.
 */
function unlistable({ resource, collection }: ServedResource): LatchkeyError {
  return new LatchkeyError(
    'ERR_KUBERNETES_UNAVAILABLE',
    `the API server answered 500 to GET ${collection}: it cannot list ${resource}, as when it cannot decrypt one of them`,
    {
      hint: 'name the etcd of the API servers with --etcd, by which every other object is rewritten and that one is listed; "latchkey etcd scan --keyring" tells how many do not decrypt, and why',
    },
  )
}

/** Asks again, for a minute or so, while the API server is away or overloaded. */
async function persist<T>(deps: RetryDeps, ask: () => Promise<T>): Promise<T> {
  return await retry(ask, {
    ...deps,
    backoff,
    shouldRetry: (error, attempt) =>
      attempt < attempts && isLatchkeyError(error, 'ERR_KUBERNETES_UNAVAILABLE'),
  })
}

function parse(body: Buffer): Readonly<Record<string, unknown>> {
  return objectOf(JSON.parse(body.toString('utf8')))
}

/** The metadata of an object as the API server answers it. */
export function listedObject(object: unknown): ListedObject {
  const { namespace, name, uid, resourceVersion } = metaOf(object)
  const meta = objectOf(objectOf(object)['metadata'])
  return {
    namespace,
    name,
    uid,
    resourceVersion,
    terminating: textOf(meta, 'deletionTimestamp') !== '',
    finalizers: textsOf(meta, 'finalizers'),
  }
}
