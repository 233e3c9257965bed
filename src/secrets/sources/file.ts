import { watch as watchFiles, type FSWatcher } from 'chokidar'
import type { Clock } from '../../base/clock.ts'
import { LatchkeyError } from '../../base/errors.ts'
import type { SecretContent } from '../content.ts'
import { isNamespaceName, isSecretName, type SecretTarget } from '../reference.ts'
import type { SecretObservation, SecretSource, SourceProblem } from '../source.ts'
import type { FileSecretStore } from './file-store.ts'

/** The embedded source: a {@link FileSecretStore}, watched. Takes ownership of the store. */
export function fileSource(
  store: FileSecretStore,
  deps: {
    readonly clock: Clock
    readonly onProblem: SourceProblem
    /**
     * Watches can be lost (limits, overflows, a replaced directory): everything followed is read
     * again this often, in milliseconds.
     */
    readonly recheckMs: number
  },
): SecretSource {
  const followed = new Map<string, Followed>()
  const nameOf = (target: SecretTarget): string => `${target.namespace}/${target.name}`
  const watcher = watchStore(store.directory, (name) => {
    const one = name === undefined ? undefined : followed.get(name)
    if (one !== undefined) one.reload()
    else if (name === undefined) for (const each of followed.values()) each.reload()
  })
  watcher.on('error', (error) => {
    deps.onProblem(error, { namespace: '' })
  })
  const timer = setInterval(() => {
    for (const each of followed.values()) each.reload()
  }, deps.recheckMs)
  timer.unref()
  let closed = false

  return {
    kind: 'file',
    follow: (target, listener) => {
      if (closed) throw new LatchkeyError('ERR_ABORTED', 'the source is closed')
      if (!isNamespaceName(target.namespace) || !isSecretName(target.name)) {
        throw new TypeError('the target has no valid names')
      }
      const name = nameOf(target)
      const entry = followed.get(name) ?? new Followed(target, { store, ...deps })
      followed.set(name, entry)
      // A function of its own for each follower, so that two with the same listener are two.
      const call = (): void => {
        listener()
      }
      entry.listeners.add(call)
      return {
        current: () => entry.current,
        staleMs: () => entry.staleMs(),
        [Symbol.dispose]: () => {
          entry.listeners.delete(call)
          if (entry.listeners.size > 0 || followed.get(name) !== entry) return
          followed.delete(name)
          entry.end()
        },
      }
    },
    close: async () => {
      if (closed) return
      closed = true
      clearInterval(timer)
      await watcher.close()
      for (const entry of followed.values()) entry.end()
      followed.clear()
      store[Symbol.dispose]()
    },
  }
}

interface FollowedDeps {
  readonly store: FileSecretStore
  readonly clock: Clock
  readonly onProblem: SourceProblem
}

/** One secret, whatever the number of those who follow it. */
class Followed {
  readonly listeners = new Set<() => void>()
  current: SecretObservation | undefined
  readonly #target: SecretTarget
  readonly #deps: FollowedDeps
  #state: 'idle' | 'loading' | 'loading-stale' | 'ended' = 'idle'
  /** When the store last answered, and whether its latest answer was one. */
  #confirmedAtMs: number | undefined
  #failing = false

  constructor(target: SecretTarget, deps: FollowedDeps) {
    this.#target = target
    this.#deps = deps
    this.reload()
  }

  staleMs(): number {
    if (this.#confirmedAtMs === undefined) return Infinity
    return this.#failing ? this.#deps.clock.monotonicMs() - this.#confirmedAtMs : 0
  }

  /** Reads again; while it does, at most one more reading is remembered. */
  reload(): void {
    if (this.#state === 'ended') return
    if (this.#state !== 'idle') {
      this.#state = 'loading-stale'
      return
    }
    this.#state = 'loading'
    this.#deps.store.load(this.#target).then(
      (content) => {
        this.#settle(content)
      },
      (error: unknown) => {
        this.#fail(error)
      },
    )
  }

  end(): void {
    this.#state = 'ended'
    this.listeners.clear()
    wipe(this.current)
    this.current = undefined
  }

  #settle(content: SecretContent | undefined): void {
    if (this.#state === 'ended') {
      content?.[Symbol.dispose]()
      return
    }
    this.#confirmedAtMs = this.#deps.clock.monotonicMs()
    this.#failing = false
    const former = this.current
    if (sameAs(former, content)) content?.[Symbol.dispose]()
    else {
      this.current = content === undefined ? { state: 'absent' } : { state: 'present', content }
      for (const listener of [...this.listeners]) listener()
      wipe(former)
    }
    this.#again()
  }

  #fail(error: unknown): void {
    if (this.#state === 'ended') return
    this.#failing = true
    this.#deps.onProblem(error, this.#target)
    this.#again()
  }

  #again(): void {
    const stale = this.#state === 'loading-stale'
    if (this.#state !== 'ended') this.#state = 'idle'
    if (stale) this.reload()
  }
}

function sameAs(
  observation: SecretObservation | undefined,
  content: SecretContent | undefined,
): boolean {
  if (observation === undefined) return false
  if (observation.state === 'absent') return content === undefined
  return content !== undefined && observation.content.equals(content)
}

function wipe(observation: SecretObservation | undefined): void {
  if (observation?.state === 'present') observation.content[Symbol.dispose]()
}

/** Calls `onChange` with `NAMESPACE/NAME` for a change of one secret, and without for any other. */
function watchStore(directory: string, onChange: (name?: string) => void): FSWatcher {
  const watcher = watchFiles(directory, {
    depth: 2,
    ignoreInitial: true,
    ignored: (path) => path.startsWith(`${directory}/`) && path.includes('/.', directory.length),
  })
  watcher.on('ready', () => {
    onChange()
  })
  watcher.on('all', (_event, path) => {
    const [namespace, name] = path.slice(directory.length + 1).split('/')
    if (namespace !== undefined && name !== undefined) onChange(`${namespace}/${name}`)
    else onChange()
  })
  return watcher
}
