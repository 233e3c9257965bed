import type { Clock } from '../../base/clock.ts'
import { isLatchkeyError } from '../../base/errors.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import { watchResource } from '../../clients/kubernetes-watch.ts'
import {
  objectOf,
  objectsOf,
  textOf,
  type Json,
  type JsonObject,
} from '../../injection/pod/json.ts'
import type { Log } from '../../observe/log.ts'
import type { WebhookEvent } from '../events.ts'
import type { WebhookMetrics } from '../metrics.ts'

/** What the keeper needs from outside. */
export interface KeeperDeps {
  readonly client: KubernetesClient
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly log: Log<WebhookEvent>
  readonly metrics: WebhookMetrics
  /** Name of the configurations, one of each kind at most. */
  readonly name: string
  /** Called after every change of what is known. */
  readonly onChange: () => void
  readonly signal: AbortSignal
}

const kinds = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'] as const
type Kind = (typeof kinds)[number]

/**
 * How long after an entry was seen with a certificate every API server is taken to know it: each has
 * a watch of its own, and a replica that saw the change a moment later is still served the old one.
 */
const settleMs = 3_000

/**
 * Keeps `caBundle` of every entry of the webhook configurations what it should be. Manifests leave it
 * out; applying them again keeps it, replacing them wipes it, and then it is put back at once.
 */
export class BundleKeeper {
  readonly #deps: KeeperDeps
  readonly #objects = new Map<Kind, JsonObject>()
  /** When each certificate was first seen in all entries, monotonic. */
  readonly #seenAt = new Map<string, number>()
  readonly #writing = new Set<Kind>()
  #bundle = ''
  #certificates: readonly string[] = []

  constructor(deps: KeeperDeps) {
    this.#deps = deps
    for (const kind of kinds) this.#watch(kind)
  }

  /** From now on the entries are to have these certificates, PEM, and no others. */
  want(certificates: readonly string[]): void {
    const bundle = certificates.join('')
    if (bundle === this.#bundle) return
    this.#certificates = certificates
    this.#bundle = bundle
    this.#look()
  }

  /** Whether all API servers trust `certificate`, PEM, for all entries. */
  knows(certificate: string): boolean {
    const seenAt = this.#seenAt.get(certificate)
    return seenAt !== undefined && this.#deps.clock.monotonicMs() - seenAt >= settleMs
  }

  #watch(kind: Kind): void {
    const { name, log } = this.#deps
    const keep = (object: JsonObject | undefined): void => {
      if (object === undefined) this.#objects.delete(kind)
      else this.#objects.set(kind, object)
      this.#look()
    }
    watchResource<JsonObject>(
      {
        path: `/apis/admissionregistration.k8s.io/v1/${kind}`,
        name,
        content: 'whole',
        list: 'objects',
        project: (object) => objectOf(object as Json),
        replaced: (items) => {
          keep(items[0])
        },
        changed: (event, object) => {
          keep(event === 'deleted' ? undefined : object)
        },
        problem: (error) => {
          log.warn('bundle.problem', { kind }, error)
        },
      },
      this.#deps,
    )
  }

  #look(): void {
    const entries = [...this.#objects.values()].flatMap(entriesOf)
    for (const certificate of this.#certificates) {
      const everywhere =
        entries.length > 0 && entries.every(({ bundle }) => bundle.includes(certificate))
      if (everywhere && !this.#seenAt.has(certificate)) {
        this.#seenAt.set(certificate, this.#deps.clock.monotonicMs())
      }
    }
    for (const certificate of this.#seenAt.keys()) {
      if (!this.#certificates.includes(certificate)) this.#seenAt.delete(certificate)
    }
    for (const kind of this.#objects.keys()) void this.#repair(kind)
    this.#deps.onChange()
  }

  /** Writes what entries lack. One write at a time; what comes of it arrives by the watch. */
  async #repair(kind: Kind): Promise<void> {
    const { client, clock, log, metrics, name, signal } = this.#deps
    const object = this.#objects.get(kind)
    if (object === undefined || this.#bundle === '' || this.#writing.has(kind)) return
    const patch = repairPatch(object, this.#bundle)
    if (patch === undefined) return
    this.#writing.add(kind)
    try {
      const path = `/apis/admissionregistration.k8s.io/v1/${kind}/${name}`
      const contentType = 'application/json-patch+json'
      const written = (await client.request('PATCH', path, {
        body: patch.operations,
        contentType,
        signal,
      })) as Json
      metrics.bundleWritten(patch.entries)
      log.info('bundle.written', { kind, entries: patch.entries })
      // What the watch has told of meanwhile is this, or newer.
      if (this.#objects.get(kind) === object) this.#objects.set(kind, objectOf(written))
    } catch (error) {
      if (signal.aborted) return
      // A patch of an object that has changed meanwhile is refused, and the change is on its way.
      if (!isLatchkeyError(error, 'ERR_KUBERNETES_REFUSED')) {
        log.warn('bundle.problem', { kind }, error)
      }
      await clock.sleep(200 + 300 * this.#deps.random(), signal).catch(() => undefined)
    } finally {
      this.#writing.delete(kind)
    }
    if (!signal.aborted) this.#look()
  }
}

interface Entry {
  readonly index: number
  readonly name: string
  /** Decoded; empty when there is none. */
  readonly bundle: string
}

function entriesOf(object: JsonObject): readonly Entry[] {
  return objectsOf(object['webhooks']).map((entry, index) => ({
    index,
    name: textOf(entry['name']) ?? '',
    bundle: Buffer.from(
      textOf(objectOf(entry['clientConfig'])['caBundle']) ?? '',
      'base64',
    ).toString(),
  }))
}

/** The JSON patch that gives every entry the bundle; `undefined` when all have it. */
export function repairPatch(
  object: JsonObject,
  bundle: string,
): { readonly operations: readonly JsonObject[]; readonly entries: number } | undefined {
  const lacking = entriesOf(object).filter((entry) => entry.bundle !== bundle)
  if (lacking.length === 0) return undefined
  const resourceVersion = textOf(objectOf(object['metadata'])['resourceVersion']) ?? ''
  const value = Buffer.from(bundle).toString('base64')
  return {
    entries: lacking.length,
    operations: [
      // Indices mean what they meant only while nobody else has written.
      { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
      ...lacking.map(({ index }) => ({
        op: 'add',
        path: `/webhooks/${index}/clientConfig/caBundle`,
        value,
      })),
    ],
  }
}
