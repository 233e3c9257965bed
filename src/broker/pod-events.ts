import type { Clock } from '../base/clock.ts'
import type { KubernetesClient } from '../clients/kubernetes.ts'
import type { ObservedStream } from './observer.ts'
import type { SetItem } from './secret-set.ts'

/** Says on a Pod what it waits for, so that `kubectl describe pod` shows it. */
export interface PodEvents {
  /** The pod waits for these; the same words are not written again for ten minutes. */
  waiting(stream: ObservedStream, items: readonly SetItem[]): void
}

/** Where there is no API server there are no Events. */
export const noPodEvents: PodEvents = { waiting: () => undefined }

/** What writing Events needs from outside. */
export interface PodEventsDeps {
  readonly client: KubernetesClient
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly replica: string
  readonly onResult: (result: 'written' | 'failed' | 'dropped', error?: unknown) => void
}

const repeatMs = 600_000
const maxQueued = 1_000
/** Events a second at most: a thousand pods that wait must not flood the API server. */
const apartMs = 100
const maxNoteCharacters = 1_000

/** Writes Events one after the other; beyond a bound they are dropped, and counted. */
export function createPodEvents(deps: PodEventsDeps): PodEvents {
  const queue: { readonly stream: ObservedStream; readonly note: string }[] = []
  const written = new Map<string, number>()
  let running = false

  const forget = (now: number): void => {
    for (const [key, at] of written) {
      if (now - at < repeatMs) break
      written.delete(key)
    }
  }

  const run = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      try {
        await write(next.stream, next.note, deps)
        deps.onResult('written')
      } catch (error) {
        if (deps.signal.aborted) return
        deps.onResult('failed', error)
      }
      await deps.clock.sleep(apartMs, deps.signal).catch(() => undefined)
      if (deps.signal.aborted) return
    }
    running = false
  }

  return {
    waiting: (stream, items) => {
      const note = noteOf(stream, items)
      if (note === '') return
      const now = deps.clock.monotonicMs()
      const key = `${stream.identity.pod.uid} ${note}`
      forget(now)
      if (now - (written.get(key) ?? -Infinity) < repeatMs) return
      if (queue.length >= maxQueued || written.size >= 10 * maxQueued) {
        deps.onResult('dropped')
        return
      }
      written.set(key, now)
      queue.push({ stream, note })
      if (running) return
      running = true
      void run()
    },
  }
}

/** One clause for each secret that is not there, each with its remedy. */
export function noteOf(
  stream: Pick<ObservedStream, 'identity'>,
  items: readonly SetItem[],
): string {
  const { namespace, name } = stream.identity.account
  const clauses = items.map(({ secret, status, reason }) => {
    switch (status) {
      case 'ready':
        return ''
      case 'denied':
        return `secret ${secret}: service account ${name} may not mount it (kubectl create role ${grantName(secret)} -n ${namespace} --verb=mount --resource=secrets --resource-name=${secret}, and a RoleBinding)`
      case 'not-found':
        return `secret ${secret}: there is none in namespace ${namespace}`
      case 'unavailable':
        return `secret ${secret}: ${unavailable[reason]}`
    }
  })
  const note = clauses.filter((clause) => clause !== '').join('; ')
  return note.length <= maxNoteCharacters ? note : `${note.slice(0, maxNoteCharacters)}…`
}

const unavailable = {
  unspecified: 'cannot be had at the moment',
  authorization: 'the API server does not say whether it may be mounted',
  source: 'its source does not answer',
  'source-not-configured': 'this cluster’s broker has no source of that name',
  'too-large': 'it is too large, alone or together with the others',
} as const

function grantName(secret: string): string {
  return `mount-${secret.replace(':', '-')}`
}

async function write(
  { identity }: ObservedStream,
  note: string,
  deps: PodEventsDeps,
): Promise<void> {
  const { namespace } = identity.account
  const time = new Date(deps.clock.now()).toISOString()
  await deps.client.request('POST', `/api/v1/namespaces/${namespace}/events`, {
    body: {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { generateName: 'latchkey-', namespace },
      involvedObject: {
        apiVersion: 'v1',
        kind: 'Pod',
        namespace,
        name: identity.pod.name,
        uid: identity.pod.uid,
      },
      type: 'Warning',
      reason: 'SecretsMissing',
      message: note,
      action: 'Deliver',
      source: { component: 'latchkey-broker' },
      reportingComponent: 'latchkey-broker',
      reportingInstance: deps.replica,
      eventTime: time.replace('Z', '000Z'),
      firstTimestamp: `${time.slice(0, 19)}Z`,
      lastTimestamp: `${time.slice(0, 19)}Z`,
      count: 1,
    },
    signal: deps.signal,
  })
}
