import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import type { Identity } from './authority.ts'

/** A server's answer, read to its end. */
export interface Answer {
  readonly status: number
  readonly body: string
}

/** What to ask. */
export interface Question {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal?: AbortSignal
  /** Longest silence of the connection in milliseconds; default 120,000. */
  readonly timeoutMs?: number
}

/** One HTTPS server, called with a client certificate over kept connections. */
export interface HttpsClient {
  call(question: Question): Promise<Answer>
  /** Resolves as soon as the headers are there; the caller reads, or destroys, the body. */
  open(question: Question): Promise<IncomingMessage>
  close(): void
}

/** A client of the server at `base`, as `https://127.0.0.1:6443`, that trusts `ca` alone. */
export function createHttpsClient(
  base: string,
  options: { readonly ca: string; readonly identity: Identity },
): HttpsClient {
  const { ca, identity } = options
  // Servers close a connection that nothing came over for a while. One that is closed at the moment
  // when it is used again would be a failure: so it is given up here, and long before.
  const timeout = 20_000
  const agent = new Agent({ keepAlive: true, maxSockets: 64, timeout, ca, ...identity })
  const open = async (question: Question): Promise<IncomingMessage> =>
    await new Promise((resolve, reject) => {
      const { method, headers, body, signal, timeoutMs = 120_000 } = question
      const sent = request(new URL(question.path, base), {
        method,
        agent,
        timeout: timeoutMs,
        headers: {
          ...headers,
          ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
        },
        ...(signal === undefined ? {} : { signal }),
      })
      sent.once('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)))
      sent.once('error', reject)
      sent.once('response', resolve)
      sent.end(body)
    })
  return {
    open,
    call: async (question) => {
      const response = await open(question)
      const chunks: Buffer[] = []
      for await (const chunk of response) chunks.push(chunk as Buffer)
      return { status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }
    },
    close: () => {
      agent.destroy()
    },
  }
}
