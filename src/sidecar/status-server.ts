import { createServer, type Socket } from 'node:net'
import type { HostPort } from '../base/address.ts'
import { Crowd } from '../net/crowd.ts'
import { listenTcp } from '../net/listen-tcp.ts'

/** What is shown: a status and a text without anything secret. */
export interface Shown {
  readonly status: 200 | 503
  readonly text: string
}

/** What is shown at a path. `gone` is aborted when nobody waits for it any more. */
export type Page = (gone: AbortSignal) => Shown | Promise<Shown>

/** A running server. */
export interface StatusServer {
  readonly address: HostPort
  close(): Promise<void>
}

/** How long one exchange may take, in milliseconds; a page that waits must be done before. */
const deadlineMs = 5_000
const maxHeadBytes = 8_192
const maxConnections = 32

const reasons = {
  200: 'OK',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  431: 'Request Header Fields Too Large',
  503: 'Service Unavailable',
} as const

interface Answer {
  readonly status: keyof typeof reasons
  readonly text: string
}

/**
 * Serves a few pages over plain HTTP/1.1: `GET` and `HEAD`, one request a connection, at most 32
 * connections, of which whoever has most gives one up to a newcomer: any pod of a cluster may call,
 * and none may keep the kubelet's probe out.
 *
 * @remarks
 * By hand, as every pod carries it: Node.js's own HTTP server costs 2.3 MB of private memory, for
 * probes that send one line and some headers which mean nothing here. Only the request line is read
 * (RFC 9112 §3); a body is not.
 *
 * @throws `ERR_IO` when the address cannot be listened on.
 */
export async function openStatusServer(
  address: HostPort,
  pages: Readonly<Record<string, Page>>,
): Promise<StatusServer> {
  const open = new Set<Socket>()
  const crowd = new Crowd<Socket>(maxConnections, (socket) => socket.destroy())
  const server = createServer((socket) => {
    open.add(socket)
    socket.once('close', () => {
      open.delete(socket)
      crowd.leave(socket)
    })
    serve(socket, pages)
    crowd.enter(socket, socket.remoteAddress ?? '')
  })
  const hint = 'choose another address, or stop what listens there'
  const bound = await listenTcp(server, address, { hint })
  return {
    address: bound,
    close: async () => {
      await new Promise((resolve) => {
        server.close(resolve)
        for (const socket of open) socket.destroy()
      })
    },
  }
}

/** `ok` with status 200 while something holds, `no` with 503 while it does not. */
export function booleanPage(holds: () => boolean): Page {
  return () => (holds() ? { status: 200, text: 'ok\n' } : { status: 503, text: 'no\n' })
}

/**
 * The same, but a `no` is only said when `comes` has not resolved within `waitMs` milliseconds.
 *
 * @remarks
 * For the startup probe: each refusal is an Event that the kubelet writes about a pod which may wait
 * for hours, and a yes that is waited for comes at once, not with the next probe.
 */
export function awaitedPage(
  holds: () => boolean,
  comes: () => Promise<void>,
  waitMs: number,
): Page {
  const page = booleanPage(holds)
  return async (gone) => {
    if (!holds() && !gone.aborted) {
      const over = Promise.withResolvers<undefined>()
      const end = (): void => {
        over.resolve(undefined)
      }
      const timer = setTimeout(end, waitMs)
      gone.addEventListener('abort', end)
      await Promise.race([comes(), over.promise])
      clearTimeout(timer)
    }
    return page(gone)
  }
}

function serve(socket: Socket, pages: Readonly<Record<string, Page>>): void {
  const timer = setTimeout(() => socket.destroy(), deadlineMs)
  timer.unref()
  const gone = new AbortController()
  socket.once('close', () => {
    clearTimeout(timer)
    gone.abort()
  })
  // A peer that is gone is no problem of ours.
  socket.on('error', () => undefined)
  let head = ''
  const read = (chunk: Buffer): void => {
    head += chunk.toString('latin1')
    const end = head.indexOf('\r\n\r\n')
    if (end < 0 && head.length <= maxHeadBytes) return
    socket.off('data', read)
    // What else comes is let go, so that the answer is not lost to a reset.
    socket.resume()
    const [line = ''] = head.split('\r\n', 1)
    const isHead = line.startsWith('HEAD ')
    const found: Answer | Promise<Answer> =
      end < 0 || end > maxHeadBytes
        ? { status: 431, text: 'the request is too long\n' }
        : answer(line, pages, gone.signal)
    const send = async (): Promise<void> => {
      socket.end(printAnswer(await found, { body: !isHead }))
    }
    send().catch(() => socket.destroy())
  }
  socket.on('data', read)
}

function answer(
  line: string,
  pages: Readonly<Record<string, Page>>,
  gone: AbortSignal,
): Answer | Promise<Answer> {
  const [, method, target = ''] =
    /^([!#-'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP\/1\.[01]$/.exec(line) ?? []
  if (method === undefined) return { status: 400, text: 'this is no request\n' }
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, text: 'only GET is served\n' }
  const [path = ''] = target.split('?', 1)
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined
  return page?.(gone) ?? { status: 404, text: `paths: ${Object.keys(pages).join(' ')}\n` }
}

function printAnswer({ status, text }: Answer, { body }: { readonly body: boolean }): string {
  return [
    `HTTP/1.1 ${status} ${reasons[status]}`,
    'content-type: text/plain; charset=utf-8',
    `content-length: ${Buffer.byteLength(text)}`,
    'cache-control: no-store',
    'connection: close',
    ...(status === 405 ? ['allow: GET, HEAD'] : []),
    '',
    body ? text : '',
  ].join('\r\n')
}
