import type { Clock } from '../../base/clock.ts'
import { LatchkeyError } from '../../base/errors.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import { metaOf } from '../../clients/kubernetes-objects.ts'
import { watchResource, type ResourceWatch } from '../../clients/kubernetes-watch.ts'
import { isNamespaceName, isSecretName, type SecretTarget } from '../reference.ts'
import type { FollowedSecret, SecretSource, SourceProblem } from '../source.ts'
import { createKubernetesSecret, type KubernetesSecret } from './kubernetes-secret.ts'

/** What the source needs from outside. */
export interface KubernetesSourceDeps {
  readonly client: KubernetesClient
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly onProblem: SourceProblem
  /**
   * How long a namespace goes on being watched after its last secret was let go, in milliseconds:
   * pods that reconnect find it warm.
   */
  readonly lingerMs: number
}

/**
 * Kubernetes Secrets: one watch per namespace, whatever the number of secrets and pods.
 *
 * @remarks
 * The watch carries metadata only, and a secret's data is got when the metadata of one that is
 * followed has changed. Secrets that no pod asked for never reach this process, and, since each
 * reading is newer than the event that caused it, content never goes back in time.
 */
export function kubernetesSource(deps: KubernetesSourceDeps): SecretSource {
  const namespaces = new Map<string, Namespace>()
  let closed = false
  return {
    kind: 'kubernetes',
    follow: (target, listener) => {
      if (closed) throw new LatchkeyError('ERR_ABORTED', 'the source is closed')
      if (!isNamespaceName(target.namespace) || !isSecretName(target.name)) {
        throw new TypeError('the target has no valid names')
      }
      let namespace = namespaces.get(target.namespace)
      if (namespace === undefined) {
        namespace = new Namespace(target.namespace, deps, () => namespaces.delete(target.namespace))
        namespaces.set(target.namespace, namespace)
      }
      return namespace.follow(target, listener)
    },
    close: async () => {
      closed = true
      for (const namespace of [...namespaces.values()]) namespace.end()
    },
  }
}

class Namespace {
  readonly #deps: KubernetesSourceDeps
  readonly #onEnd: () => void
  readonly #stop = new AbortController()
  readonly #secrets = new Map<string, KubernetesSecret>()
  readonly #watch: ResourceWatch
  #leaving: AbortController | undefined

  constructor(name: string, deps: KubernetesSourceDeps, onEnd: () => void) {
    this.#deps = deps
    this.#onEnd = onEnd
    this.#watch = watchResource(
      {
        path: `/api/v1/namespaces/${name}/secrets`,
        content: 'metadata',
        list: 'position',
        project: metaOf,
        // Where the watch begins anew, anything may have happened before.
        replaced: () => {
          for (const secret of this.#secrets.values()) secret.reload()
        },
        changed: (_event, meta) => this.#secrets.get(meta.name)?.reload(),
        problem: (error) => {
          deps.onProblem(error, { namespace: name })
        },
      },
      { ...deps, signal: this.#stop.signal },
    )
  }

  follow(target: SecretTarget, listener: () => void): FollowedSecret {
    this.#leaving?.abort()
    this.#leaving = undefined
    const secret =
      this.#secrets.get(target.name) ??
      createKubernetesSecret(target, { ...this.#deps, signal: this.#stop.signal })
    this.#secrets.set(target.name, secret)
    // A function of its own for each follower, so that two with the same listener are two.
    const call = (): void => {
      listener()
    }
    secret.listeners.add(call)
    return {
      current: () => secret.current(),
      staleMs: () => {
        const age = secret.ageMs()
        // What was read before the watch began is as old as the reading.
        const watched = Math.min(this.#watch.staleMs(), age)
        return secret.failing() || age === Infinity ? age : watched
      },
      [Symbol.dispose]: () => {
        secret.listeners.delete(call)
        if (secret.listeners.size > 0 || this.#secrets.get(target.name) !== secret) return
        this.#secrets.delete(target.name)
        secret.end()
        if (this.#secrets.size === 0) this.#linger()
      },
    }
  }

  end(): void {
    this.#stop.abort()
    for (const secret of this.#secrets.values()) secret.end()
    this.#secrets.clear()
    this.#onEnd()
  }

  #linger(): void {
    if (this.#stop.signal.aborted) return
    const leaving = new AbortController()
    this.#leaving = leaving
    this.#deps.clock
      .sleep(this.#deps.lingerMs, AbortSignal.any([leaving.signal, this.#stop.signal]))
      .then(
        () => {
          this.end()
        },
        () => undefined,
      )
  }
}
