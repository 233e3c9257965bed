import * as http from 'node:http'
import * as https from 'node:https'

/** An answer of any status, read to its end. */
export interface Answer {
  readonly status: number
  /** How long the server asks to wait (`Retry-After`), in milliseconds; `undefined` when it does not. */
  readonly retryAfterMs: number | undefined
  /** When the server answered, by its own clock (`Date`), milliseconds since 1970, to the second. */
  readonly dateMs: number | undefined
  readonly body: Buffer
}

/** Largest answer that is read, in bytes. */
export const maxAnswerBytes = 64 * 1_048_576

/**
 * One request and its answer, with as little around it as a program needs that sends many thousands:
 * one timer, one listener, no stream iterators and no composed signals, which cost more than the
 * request itself.
 *
 * @throws what the connection fails with, and an `Error` when the deadline passes or the answer is
 * too large; the signal's reason when it is aborted.
 */
export function exchange(
  url: URL,
  options: {
    readonly method: string
    readonly agent: http.Agent
    readonly headers: Readonly<Record<string, string | number>>
    readonly body: string | undefined
    /** Milliseconds until the answer must be complete. */
    readonly timeoutMs: number
    readonly signal: AbortSignal
  },
): Promise<Answer> {
  const { method, agent, headers, body, timeoutMs, signal } = options
  signal.throwIfAborted()
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const request = (url.protocol === 'http:' ? http : https).request(
      url,
      { method, agent, headers },
      (response) => {
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          length += chunk.byteLength
          if (length > maxAnswerBytes) request.destroy(new Error('the answer is too large'))
        })
        response.on('end', () => {
          if (!response.complete) return
          settle()
          resolve({
            status: response.statusCode ?? 0,
            retryAfterMs: readRetryAfter(response.headers['retry-after']),
            dateMs: readDate(response.headers.date),
            body: Buffer.concat(chunks, length),
          })
        })
        response.on('error', fail)
      },
    )
    const timer = setTimeout(() => {
      request.destroy(new Error('the deadline passed'))
    }, timeoutMs)
    const abort = (): void => {
      request.destroy(signal.reason as Error)
    }
    const settle = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    }
    function fail(error: Error): void {
      settle()
      reject(signal.aborted ? (signal.reason as Error) : error)
    }
    signal.addEventListener('abort', abort, { once: true })
    request.on('error', fail)
    // What ends without an error and without an answer is a failure too.
    request.on('close', () => {
      fail(new Error('the connection was closed'))
    })
    request.end(body)
  })
}

/** Whole seconds alone: the API server sends no dates (apiserver pkg/util/flowcontrol). */
function readRetryAfter(value: string | undefined): number | undefined {
  return value !== undefined && /^[0-9]{1,6}$/.test(value) ? Number(value) * 1000 : undefined
}

function readDate(value: string | undefined): number | undefined {
  const ms = Date.parse(value ?? '')
  return Number.isNaN(ms) ? undefined : ms
}
