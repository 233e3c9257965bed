import {
  formatSecretReference,
  parseSecretReference,
  type SecretTarget,
} from '../secrets/reference.ts'
import type { FollowedSecret, SecretObservation, SecretSource } from '../secrets/source.ts'
import type { Versioner } from '../secrets/version.ts'

/** A secret that somebody holds on to; disposing of it lets it go. */
export interface HeldSecret extends Disposable {
  /** Whether this broker has a source of the reference's prefix at all. */
  readonly configured: boolean
  current(): SecretObservation | undefined
  staleMs(): number
}

interface Entry {
  readonly followed: FollowedSecret
  readonly listeners: Set<() => void>
}

/**
 * Which source a reference belongs to, and each secret followed once, however many pods want it.
 */
export class Catalog {
  readonly #sources: ReadonlyMap<string | undefined, SecretSource>
  readonly #entries = new Map<string, Entry>()
  readonly #versioner: Versioner

  /** @param sources - by prefix; `undefined` is the default source, of references without one. */
  constructor(
    sources: ReadonlyMap<string | undefined, SecretSource>,
    deps: { readonly versioner: Versioner },
  ) {
    this.#sources = sources
    this.#versioner = deps.versioner
  }

  /** Secrets that are followed at the moment. */
  get size(): number {
    return this.#entries.size
  }

  /** Holds a secret. `listener` is called after it has changed, never during the call. */
  hold(namespace: string, secret: string, listener: () => void): HeldSecret {
    const reference = parseSecretReference(secret)
    const source = this.#sources.get(reference.source)
    if (source === undefined) return unconfigured
    const key = keyOf(namespace, formatSecretReference(reference))
    const entry = this.#entries.get(key) ?? follow(source, { namespace, name: reference.name })
    this.#entries.set(key, entry)
    // A function of its own for each holder, so that two with the same listener are two.
    const call = (): void => {
      listener()
    }
    entry.listeners.add(call)
    return {
      configured: true,
      current: () => entry.followed.current(),
      staleMs: () => entry.followed.staleMs(),
      [Symbol.dispose]: () => {
        entry.listeners.delete(call)
        if (entry.listeners.size > 0 || this.#entries.get(key) !== entry) return
        this.#entries.delete(key)
        entry.followed[Symbol.dispose]()
      },
    }
  }

  /** Keyed version of a whole secret that is followed; `''` when it is not, or is not there. */
  versionOf(namespace: string, secret: string): string {
    const observation = this.#entries.get(keyOf(namespace, secret))?.followed.current()
    if (observation?.state !== 'present') return ''
    return this.#versioner.ofEntries(observation.content.entries, { namespace, secret })
  }
}

const unconfigured: HeldSecret = {
  configured: false,
  current: () => undefined,
  staleMs: () => 0,
  [Symbol.dispose]: () => undefined,
}

function follow(source: SecretSource, target: SecretTarget): Entry {
  const listeners = new Set<() => void>()
  const followed = source.follow(target, () => {
    for (const listener of [...listeners]) listener()
  })
  return { followed, listeners }
}

function keyOf(namespace: string, secret: string): string {
  return `${namespace}/${secret}`
}
