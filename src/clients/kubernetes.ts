import * as http from 'node:http'
import * as https from 'node:https'
import { isLatchkeyError } from '../base/errors.ts'
import type { Clock } from '../base/clock.ts'
import type { ClusterAccess } from './kubernetes-access.ts'
import { statusError, strayNotFound, unavailable, type Asked } from './kubernetes-errors.ts'
import { exchange, maxAnswerBytes, type Answer } from './kubernetes-exchange.ts'
import { createIdentity } from './kubernetes-identity.ts'
import { objectOf } from './kubernetes-objects.ts'

/** What is asked of the API server besides method and path. */
export interface RequestOptions {
  readonly query?: Readonly<Record<string, string>>
  /** Media type wanted; JSON unless told otherwise. */
  readonly accept?: string
  /** Sent as JSON. */
  readonly body?: unknown
  /** Media type of the body, such as that of a patch; JSON unless told otherwise. */
  readonly contentType?: string
  /** Whole milliseconds until the answer must be complete. Default 10,000. */
  readonly timeoutMs?: number
  readonly signal: AbortSignal
}

/** What may be done at a path. */
type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/**
 * A narrow client of the Kubernetes API: requests and streams of JSON, as one identity.
 *
 * @remarks
 * Written here, on `node:https`, because what a broker needs is six calls, and the official client
 * costs 62 MB of private memory and a second at start for them.
 */
export interface KubernetesClient {
  /**
   * Sends a request and resolves with its JSON answer.
   *
   * @throws `ERR_KUBERNETES_*`: `_UNAVAILABLE` for outages, overload and deadlines, which may be
   * retried; `_NOT_FOUND` only when the API server itself says that there is no such object, not for
   * whatever else answers 404; the signal's reason when it is aborted.
   */
  request(method: Method, path: string, options: RequestOptions): Promise<unknown>
  /**
   * As {@link KubernetesClient.request}, for those who look at the answer themselves: resolves with
   * an answer of whatever status, unread.
   *
   * @throws `ERR_KUBERNETES_UNAVAILABLE` when there was none; the signal's reason when it is aborted.
   */
  exchange(method: Method, path: string, options: RequestOptions): Promise<Answer>
  /**
   * GETs lines that go on for ever, as a watch does. Resolves when the server has accepted; the
   * lines end when it ends them, and throw as {@link KubernetesClient.request} does.
   */
  lines(
    path: string,
    options: RequestOptions & { readonly idleMs: number },
  ): Promise<AsyncIterable<Buffer>>
  /** What is needed to speak another protocol with the server at `path`, as the same identity. */
  dial(path: string, query: Readonly<Record<string, string>>): Promise<Dialling>
  /** Ends idle connections. Requests under way end with their own signals. */
  close(): void
}

/** Where and as whom another protocol begins, over HTTP/1.1 (RFC 9110, section 7.8). */
export interface Dialling {
  readonly url: URL
  /** Makes a connection that nobody else uses, with the client's certificate if it has one. */
  readonly agent: http.Agent
  /** Its token, if it has one. */
  readonly headers: Readonly<Record<string, string>>
}

/** Largest line of a watch, in bytes: an object of etcd's largest size, with room. */
const maxLineBytes = 8 * 1_048_576
const maxRequests = 32
const defaultTimeoutMs = 10_000

/**
 * A client for `access`. Credentials are read again every 30 seconds and after a 401. At most
 * `maxRequests` (default 32) requests are on the wire at a time; further ones wait.
 */
export function createKubernetesClient(
  access: ClusterAccess,
  deps: { readonly clock: Pick<Clock, 'monotonicMs'>; readonly maxRequests?: number },
): KubernetesClient {
  const identity = createIdentity(access, {
    clock: deps.clock,
    maxRequests: deps.maxRequests ?? maxRequests,
  })

  const send = async (
    asked: Asked,
    options: RequestOptions & { readonly streaming: boolean },
  ): Promise<http.IncomingMessage> => {
    const { agents, token } = await identity.current()
    const { url, headers, body } = message(access.server, { asked, options, token })
    const response = await open(url, {
      method: asked.method,
      agent: options.streaming ? agents.streams : agents.requests,
      signal: options.signal,
      headers,
      body,
    })
    const status = response.statusCode ?? 0
    if (status >= 200 && status < 300) return response
    if (status === 401) identity.expire()
    if (status === 404 && !options.streaming && !(await saysNotFound(response))) {
      throw strayNotFound(asked)
    }
    // Reading an error to its end, unseen, leaves the connection usable.
    if (options.streaming) response.destroy()
    else response.resume()
    throw statusError(status, asked)
  }

  const guarded = async <T>(
    asked: Asked,
    options: RequestOptions,
    call: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> => {
    const deadline = AbortSignal.timeout(options.timeoutMs ?? defaultTimeoutMs)
    try {
      return await call(AbortSignal.any([deadline, options.signal]))
    } catch (error) {
      options.signal.throwIfAborted()
      throw isLatchkeyError(error)
        ? error
        : unavailable(asked, deadline.aborted ? deadline.reason : error)
    }
  }

  return {
    request: (method, path, options) =>
      guarded({ method, path }, options, async (signal) => {
        const response = await send({ method, path }, { ...options, signal, streaming: false })
        return await readJson(response)
      }),
    exchange: async (method, path, options) => {
      const asked = { method, path }
      const { agents, token } = await identity.current()
      try {
        const { url, headers, body } = message(access.server, { asked, options, token })
        const answer = await exchange(url, {
          method,
          agent: agents.requests,
          headers:
            body === undefined
              ? headers
              : { ...headers, 'content-length': Buffer.byteLength(body) },
          body,
          timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
          signal: options.signal,
        })
        if (answer.status === 401) identity.expire()
        return answer
      } catch (error) {
        options.signal.throwIfAborted()
        throw unavailable(asked, error)
      }
    },
    lines: async (path, options) => {
      const asked = { method: 'GET', path }
      // The deadline is for the beginning of the answer; after it, silence is limited by idleMs.
      const stop = new AbortController()
      const response = await guarded(asked, options, async (signal) => {
        const cancel = (): void => {
          stop.abort(signal.reason)
        }
        signal.addEventListener('abort', cancel, { once: true })
        try {
          return await send(asked, {
            ...options,
            signal: AbortSignal.any([stop.signal, options.signal]),
            streaming: true,
          })
        } finally {
          signal.removeEventListener('abort', cancel)
        }
      })
      response.socket.setTimeout(options.idleMs, () => response.destroy(new Error('silence')))
      return readLines(response, { asked, signal: options.signal })
    },
    dial: async (path, query) => {
      const { agents, token } = await identity.current()
      const asked = { method: 'GET', path }
      // A kubelet refuses to forward a port for somebody who wants JSON (406).
      const options = { query, accept: '*/*' }
      const { url, headers } = message(access.server, { asked, options, token })
      return { url, agent: agents.streams, headers }
    },
    close: () => {
      identity.close()
    },
  }
}

/** What goes over the wire. */
function message(
  server: URL,
  request: {
    readonly asked: Asked
    readonly options: Omit<RequestOptions, 'signal'>
    readonly token: string | undefined
  },
): {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
} {
  const { asked, options, token } = request
  const url = new URL(asked.path, server)
  for (const [name, value] of Object.entries(options.query ?? {})) url.searchParams.set(name, value)
  const body = options.body === undefined ? undefined : JSON.stringify(options.body)
  return {
    url,
    headers: {
      accept: options.accept ?? 'application/json',
      'user-agent': 'latchkey',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': options.contentType ?? 'application/json' }),
    },
    body,
  }
}

function open(
  url: URL,
  options: {
    readonly method: string
    readonly agent: http.Agent
    readonly signal: AbortSignal
    readonly headers: Readonly<Record<string, string>>
    readonly body: string | undefined
  },
): Promise<http.IncomingMessage> {
  const { body, ...rest } = options
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'http:' ? http : https).request(url, rest, resolve)
    request.on('error', reject)
    // A peer that vanished without a word is noticed by TCP within half a minute.
    request.on('socket', (socket) => socket.setKeepAlive(true, 10_000))
    request.end(body)
  })
}

async function readJson(response: http.IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.byteLength
    if (length > maxAnswerBytes) throw new Error('the answer is too large')
    chunks.push(chunk)
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown
}

/** Whether an answer is the API server's own word (a Status, of reason `NotFound`) on an object. */
async function saysNotFound(response: http.IncomingMessage): Promise<boolean> {
  try {
    const { kind, reason } = objectOf(await readJson(response))
    return kind === 'Status' && reason === 'NotFound'
  } catch (error) {
    if (error instanceof SyntaxError) return false
    throw error
  }
}

async function* readLines(
  response: http.IncomingMessage,
  options: { readonly asked: Asked; readonly signal: AbortSignal },
): AsyncGenerator<Buffer> {
  let rest: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      let start = 0
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
        yield Buffer.concat([...rest, chunk.subarray(start, end)])
        rest = []
        length = 0
        start = end + 1
      }
      if (start === chunk.byteLength) continue
      rest.push(chunk.subarray(start))
      length += chunk.byteLength - start
      if (length > maxLineBytes) throw new Error('a line is too long')
    }
  } catch (error) {
    options.signal.throwIfAborted()
    throw unavailable(options.asked, error)
  } finally {
    response.destroy()
  }
}
