import { createInterface } from 'node:readline'
import type { HttpsClient } from './https.ts'
import type { KubernetesObject } from './kubernetes.ts'

/** One change seen by a watch. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'
  readonly object: KubernetesObject
}

/** Reads a watch's stream, one JSON document a line, until it ends or `signal` is aborted. */
export async function* watchEvents(
  https: HttpsClient,
  path: string,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  const response = await https.open({ method: 'GET', path, signal, timeoutMs: 600_000 })
  try {
    if (response.statusCode !== 200) throw new Error(`watch answered ${response.statusCode ?? 0}`)
    for await (const line of createInterface({ input: response })) {
      yield JSON.parse(line) as WatchEvent
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    response.destroy()
  }
}
