import { sha256Label } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { isLatchkeyError } from '../base/errors.ts'
import type { KubernetesClient } from '../clients/kubernetes.ts'
import { listOf, metaOf, objectOf, textOf, textsOf } from '../clients/kubernetes-objects.ts'
import { watchResource, type ResourceWatch } from '../clients/kubernetes-watch.ts'
import { asking } from './authenticate-kubernetes.ts'
import type { PodDirectory, PodFacts, PodKey } from './identity.ts'

/** What the directory needs from outside. */
export interface PodDirectoryDeps {
  readonly client: KubernetesClient
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly onProblem: (error: unknown) => void
  /** How long a namespace goes on being watched after its last pod was let go, in milliseconds. */
  readonly lingerMs: number
  readonly signal: AbortSignal
}

const planAnnotation = 'latchkey.dev/plan'
const containerName = 'latchkey'

/** Pods from the API server: one watch per namespace, and only the facts of followed pods are kept. */
export function kubernetesPods(deps: PodDirectoryDeps): PodDirectory {
  const namespaces = new Map<string, NamespacePods>()
  const read = (pod: PodKey, signal: AbortSignal): Promise<PodFacts | undefined> =>
    asking(async () => {
      const path = `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}`
      try {
        const facts = podFacts(await deps.client.request('GET', path, { signal }))
        return facts.uid === pod.uid ? facts : undefined
      } catch (error) {
        if (isLatchkeyError(error, 'ERR_KUBERNETES_NOT_FOUND')) return undefined
        throw error
      }
    })
  return {
    read,
    follow: (pod, listener) => {
      let namespace = namespaces.get(pod.namespace)
      if (namespace === undefined) {
        namespace = new NamespacePods(pod.namespace, {
          ...deps,
          read,
          onEnd: () => namespaces.delete(pod.namespace),
        })
        namespaces.set(pod.namespace, namespace)
      }
      return namespace.follow(pod, listener)
    },
    staleMs: (namespace) => namespaces.get(namespace)?.staleMs() ?? Infinity,
  }
}

/** What is compared of a Pod object. */
export function podFacts(object: unknown): PodFacts {
  const { name, uid } = metaOf(object)
  const annotations = objectOf(objectOf(objectOf(object)['metadata'])['annotations'])
  const spec = objectOf(objectOf(object)['spec'])
  const status = objectOf(objectOf(object)['status'])
  const plan = textOf(annotations, planAnnotation)
  const planDigest = plan === '' ? '' : sha256Label(plan)
  const addresses = [
    textOf(status, 'podIP'),
    ...listOf(status, 'podIPs').map((it) => textOf(objectOf(it), 'ip')),
    ...(spec['hostNetwork'] === true ? [textOf(status, 'hostIP')] : []),
  ]
  return {
    name,
    uid,
    // A Pod without one runs as the namespace's account `default`.
    accountName: textOf(spec, 'serviceAccountName') || 'default',
    nodeName: textOf(spec, 'nodeName'),
    phase: textOf(status, 'phase'),
    addresses: [...new Set(addresses)].filter((address) => address !== ''),
    planDigest,
    injected: planDigest !== '' && hasOurContainer(spec, planDigest),
  }
}

function hasOurContainer(spec: Readonly<Record<string, unknown>>, planDigest: string): boolean {
  return [...listOf(spec, 'initContainers'), ...listOf(spec, 'containers')]
    .map(objectOf)
    .filter((container) => textOf(container, 'name') === containerName)
    .some((container) =>
      [...textsOf(container, 'command'), ...textsOf(container, 'args')].some(
        (argument) => argument === planDigest || argument.endsWith(`=${planDigest}`),
      ),
    )
}

interface Entry {
  readonly pod: PodKey
  readonly listeners: Set<() => void>
  facts: PodFacts | 'gone' | undefined
}

class NamespacePods {
  readonly #deps: PodDirectoryDeps & {
    readonly read: PodDirectory['read']
    readonly onEnd: () => void
  }
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #entries = new Map<string, Entry>()
  readonly #watch: ResourceWatch
  #leaving: AbortController | undefined

  constructor(
    name: string,
    deps: PodDirectoryDeps & { readonly read: PodDirectory['read']; readonly onEnd: () => void },
  ) {
    this.#deps = deps
    this.#signal = AbortSignal.any([this.#stop.signal, deps.signal])
    this.#watch = watchResource<PodFacts>(
      {
        path: `/api/v1/namespaces/${name}/pods`,
        content: 'whole',
        list: 'objects',
        project: podFacts,
        replaced: (pods) => {
          this.#replace(pods)
        },
        changed: (event, facts) => {
          const entry = this.#entries.get(facts.uid)
          if (entry !== undefined) this.#set(entry, event === 'deleted' ? 'gone' : facts)
        },
        problem: deps.onProblem,
      },
      { ...deps, signal: this.#signal },
    )
  }

  staleMs(): number {
    return this.#watch.staleMs()
  }

  follow(pod: PodKey, listener: () => void): { current: () => Entry['facts'] } & Disposable {
    this.#leaving?.abort()
    this.#leaving = undefined
    const entry: Entry = this.#entries.get(pod.uid) ?? {
      pod,
      listeners: new Set(),
      facts: undefined,
    }
    this.#entries.set(pod.uid, entry)
    const call = (): void => {
      listener()
    }
    entry.listeners.add(call)
    return {
      current: () => entry.facts,
      [Symbol.dispose]: () => {
        entry.listeners.delete(call)
        if (entry.listeners.size > 0 || this.#entries.get(pod.uid) !== entry) return
        this.#entries.delete(pod.uid)
        if (this.#entries.size === 0) this.#linger()
      },
    }
  }

  #replace(pods: readonly PodFacts[]): void {
    const listed = new Map(pods.map((facts) => [facts.uid, facts]))
    for (const entry of this.#entries.values()) {
      const facts = listed.get(entry.pod.uid)
      if (facts !== undefined) this.#set(entry, facts)
      else void this.#confirm(entry)
    }
  }

  /** A pod that a list lacks may have come after the list: only the pod itself tells. */
  async #confirm(entry: Entry): Promise<void> {
    try {
      const facts = await this.#deps.read(entry.pod, this.#signal)
      if (facts === undefined) this.#set(entry, 'gone')
    } catch (error) {
      // Whoever follows the pod reviews its token every minute, and asks for the pod then too.
      if (!this.#signal.aborted) this.#deps.onProblem(error)
    }
  }

  #set(entry: Entry, facts: PodFacts | 'gone'): void {
    entry.facts = facts
    for (const listener of [...entry.listeners]) listener()
  }

  #linger(): void {
    const leaving = new AbortController()
    this.#leaving = leaving
    const { clock, lingerMs } = this.#deps
    clock.sleep(lingerMs, AbortSignal.any([leaving.signal, this.#signal])).then(
      () => {
        this.#stop.abort()
        this.#deps.onEnd()
      },
      () => undefined,
    )
  }
}
