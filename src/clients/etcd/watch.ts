import type { Clock } from '../../base/clock.ts'
import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import { backoffMs, type Backoff } from '../../base/retry.ts'
import { readWatch, watchRequest, type WatchMessage } from './codec.ts'
import type { EtcdConnections } from './connections.ts'
import { endedWatch } from './errors.ts'
import type { EtcdEvent, EtcdKey } from './messages.ts'

/** What is watched, and who is told. */
export interface WatchOptions {
  readonly rangeEnd?: EtcdKey
  /** First revision of interest; without it, what comes after the watch has begun. */
  readonly fromRevision?: number
  readonly signal: AbortSignal
  /**
   * Events in their order. A revision may be told in several pieces, and again after the connection
   * was lost in between: what is done with an event must bear repetition.
   */
  readonly onEvents: (events: readonly EtcdEvent[], revision: number) => void
  /** The watch is live: from now on nothing is missed. Called again after each loss. */
  readonly onLive?: (revision: number) => void
  /** The watch is broken and will be tried again. */
  readonly onLost?: (error: unknown) => void
}

const backoff: Backoff = { initialMs: 100, maxMs: 5_000, factor: 2 }
const connectMs = 5_000

/**
 * Watches until the signal is aborted. A connection that is lost, or whose member loses its leader, is
 * replaced, and the watch goes on where it was cut off.
 *
 * @throws `ERR_ETCD_COMPACTED` when etcd no longer knows what happened since: read everything again and
 * watch from there.
 */
export async function watchKeys(
  connections: EtcdConnections,
  key: EtcdKey,
  options: WatchOptions,
  deps: { readonly clock: Clock; readonly random: () => number },
): Promise<void> {
  const { signal } = options
  const place: Place = { next: options.fromRevision ?? 0 }
  for (let failures = 0; !signal.aborted;) {
    const startedAtMs = deps.clock.monotonicMs()
    try {
      await follow(connections, key, options, place)
      // etcd ends a watch without an error only when it is told to.
      throw new LatchkeyError('ERR_ETCD_UNAVAILABLE', 'etcd ended the watch')
    } catch (error) {
      if (isAborted(signal)) return
      if (isLatchkeyError(error, 'ERR_ETCD_COMPACTED')) throw error
      options.onLost?.(error)
    }
    failures = deps.clock.monotonicMs() - startedAtMs < 10_000 ? failures + 1 : 1
    const wait = backoffMs(backoff, failures - 1, deps.random)
    await deps.clock.sleep(wait, signal).catch(() => undefined)
  }
}

interface Place {
  /** Revision to begin at, 0 for now. */
  next: number
}

async function follow(
  connections: EtcdConnections,
  key: EtcdKey,
  options: WatchOptions,
  place: Place,
): Promise<void> {
  const { signal } = options
  const { call, failed, endpoint } = await connections.duplex('Watch/Watch', {
    timeoutMs: connectMs,
    signal,
  })
  try {
    const { rangeEnd } = options
    call.write(watchRequest(key, { rangeEnd, fromRevision: place.next }).encode())
    for await (const bytes of call as AsyncIterable<Buffer>) {
      const message = readWatch(bytes)
      if (message.compactRevision > 0) {
        throw new LatchkeyError(
          'ERR_ETCD_COMPACTED',
          `etcd has compacted revision ${place.next} away`,
        )
      }
      if (message.canceled) throw endedWatch(message.cancelReason, endpoint)
      if (signal.aborted) return
      if (message.events.length > 0) options.onEvents(message.events, message.revision)
      if (message.created) options.onLive?.(message.revision)
      advance(place, message)
    }
  } catch (error) {
    throw isLatchkeyError(error) ? error : failed(error)
  } finally {
    call.cancel()
  }
}

/**
 * Where to resume. A message with events may come before other events of the past, however new the
 * revision in its header; one without says that everything up to there was told.
 */
function advance(place: Place, message: WatchMessage): void {
  const last = message.events.at(-1)
  if (last !== undefined) {
    if (!message.fragment) place.next = last.entry.modRevision + 1
  } else if (!message.created || place.next === 0) {
    place.next = Math.max(place.next, message.revision + 1)
  }
}

/** Asked anew: between two questions there was a wait. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted
}
