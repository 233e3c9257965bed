import type { Clock } from '../base/clock.ts'
import { isLatchkeyError, LatchkeyError } from '../base/errors.ts'
import { backoffMs, type Backoff } from '../base/retry.ts'
import type { KubernetesClient } from './kubernetes.ts'
import { listOf, metaOf, objectOf, textOf } from './kubernetes-objects.ts'

/** Only metadata, and no more of the objects than that, leaves the API server. */
export const metadataOnly = {
  list: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
  watch: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
} as const

/** What is watched, and who is told. */
export interface WatchSpec<Item> {
  /** Path of the collection, `/api/v1/namespaces/shop/secrets`. */
  readonly path: string
  /** Restricts the watch to the object of this name. */
  readonly name?: string
  /** Whether objects come whole or as their metadata. */
  readonly content: 'whole' | 'metadata'
  /**
   * `objects`: a list is read to its end. `position`: only where the watch begins is of interest, and
   * every list is told as empty.
   */
  readonly list: 'objects' | 'position'
  /** What is kept of an object. Called for each as it is read, so that the rest can be let go. */
  readonly project: (object: unknown) => Item
  /** Everything there is, when the watch begins, and whenever changes may have been missed. */
  readonly replaced: (items: readonly Item[]) => void
  readonly changed: (event: 'written' | 'deleted', item: Item) => void
  /**
   * The watch is broken and will be tried again; or a single object could not be read. `wasLive`
   * tells one that broke while it was live, as connections do, from an attempt to begin that failed.
   */
  readonly problem: (error: unknown, wasLive: boolean) => void
}

/** A running watch. */
export interface ResourceWatch {
  /** Milliseconds since the watch was last known to be complete; 0 while it is live, `Infinity` before. */
  staleMs(): number
}

/** What a watch needs from outside. */
export interface WatchDeps {
  readonly client: KubernetesClient
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly signal: AbortSignal
}

const backoff: Backoff = { initialMs: 100, maxMs: 5_000, factor: 2 }
const pageSize = '250'
/** Bookmarks come about once a minute: twice and a half that in silence, and the watch is dead. */
const idleMs = 150_000

/**
 * Lists and watches a collection until the signal is aborted: it resumes where it was cut off, lists
 * again when the server no longer knows that place or says nothing for long, and waits, jittered,
 * between failures.
 */
export function watchResource<Item>(spec: WatchSpec<Item>, deps: WatchDeps): ResourceWatch {
  const state: WatchState = { version: undefined, live: false, confirmedAtMs: undefined }
  const lost = (): void => {
    if (state.live) state.confirmedAtMs = deps.clock.monotonicMs()
    state.live = false
  }
  const ended = (): boolean => deps.signal.aborted
  const run = async (): Promise<void> => {
    for (let failures = 0; !ended();) {
      const startedAtMs = deps.clock.monotonicMs()
      let problem: unknown
      try {
        if (state.version === undefined) {
          const listed = await list(spec, deps)
          spec.replaced(listed.items)
          state.version = listed.version
        }
        await follow(spec, deps, state)
      } catch (error) {
        if (ended()) break
        problem = error
      }
      const wasLive = state.live
      lost()
      // After an outage the watch resumes; after anything else, above all 410, it begins anew.
      if (problem !== undefined && !isLatchkeyError(problem, 'ERR_KUBERNETES_UNAVAILABLE')) {
        state.version = undefined
      }
      // A server that ends watches soon after it began them, and without a word, is failing too.
      const brief = deps.clock.monotonicMs() - startedAtMs < 1_000
      if (problem === undefined && !brief) {
        failures = 0
        continue
      }
      if (problem !== undefined) spec.problem(problem, wasLive)
      failures = brief ? failures + 1 : 1
      await deps.clock
        .sleep(backoffMs(backoff, failures - 1, deps.random), deps.signal)
        .catch(() => undefined)
    }
    lost()
  }
  void run()
  return {
    staleMs: () => {
      if (state.live) return 0
      if (state.confirmedAtMs === undefined) return Infinity
      return deps.clock.monotonicMs() - state.confirmedAtMs
    },
  }
}

interface WatchState {
  /** Where to resume; `undefined` when a list is due. */
  version: string | undefined
  live: boolean
  confirmedAtMs: number | undefined
}

async function list<Item>(
  spec: WatchSpec<Item>,
  { client, signal }: WatchDeps,
): Promise<{ readonly items: readonly Item[]; readonly version: string }> {
  const items: Item[] = []
  for (let next = ''; ;) {
    const page = objectOf(
      await client.request('GET', spec.path, {
        query: {
          limit: spec.list === 'position' ? '1' : pageSize,
          ...(next === '' ? {} : { continue: next }),
          ...selector(spec),
        },
        ...(spec.content === 'metadata' ? { accept: metadataOnly.list } : {}),
        timeoutMs: 30_000,
        signal,
      }),
    )
    const meta = objectOf(page['metadata'])
    const version = textOf(meta, 'resourceVersion')
    if (version === '') throw malformed(spec.path)
    if (spec.list === 'position') return { items, version }
    for (const object of listOf(page, 'items')) items.push(spec.project(object))
    next = textOf(meta, 'continue')
    if (next === '') return { items, version }
  }
}

async function follow<Item>(
  spec: WatchSpec<Item>,
  { client, clock, signal, random }: WatchDeps,
  state: WatchState,
): Promise<void> {
  const lines = await client.lines(spec.path, {
    query: {
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: state.version ?? '',
      ...selector(spec),
      // Between five and ten minutes, so that many watches are not renewed at once.
      timeoutSeconds: String(300 + Math.floor(300 * random())),
    },
    ...(spec.content === 'metadata' ? { accept: metadataOnly.watch } : {}),
    idleMs,
    signal,
  })
  state.live = true
  let heardAtMs = clock.monotonicMs()
  try {
    for await (const line of lines) {
      heardAtMs = clock.monotonicMs()
      const event = objectOf(JSON.parse(line.toString('utf8')) as unknown)
      const object = event['object']
      const type = textOf(event, 'type')
      if (type === 'ERROR') throw watchError(spec.path)
      const { resourceVersion } = metaOf(object)
      if (resourceVersion === '') throw malformed(spec.path)
      if (type === 'ADDED' || type === 'MODIFIED') spec.changed('written', spec.project(object))
      else if (type === 'DELETED') spec.changed('deleted', spec.project(object))
      state.version = resourceVersion
    }
  } finally {
    // An etcd that was restored from a backup is behind that place, and a server then says nothing,
    // not even where it is, until etcd has come to it: what is written before is never told.
    if (clock.monotonicMs() - heardAtMs >= idleMs - 1_000) state.version = undefined
  }
}

/** A field selector of this form is what lets a Role name the one object that may be watched. */
function selector({ name }: { readonly name?: string }): Readonly<Record<string, string>> {
  return name === undefined ? {} : { fieldSelector: `metadata.name=${name}` }
}

/**
 * An ERROR event: mostly that the place to resume from is gone (410), and whatever else it is, it may
 * be about that place, so that to resume there would fail for ever.
 */
function watchError(path: string): LatchkeyError {
  return new LatchkeyError('ERR_KUBERNETES_GONE', `the watch of ${path} ended with an error`)
}

function malformed(path: string): LatchkeyError {
  return new LatchkeyError(
    'ERR_KUBERNETES_UNAVAILABLE',
    `the API server's answer for ${path} has no resource version`,
  )
}
