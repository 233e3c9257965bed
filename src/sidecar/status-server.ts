import { createServer, type RequestListener } from 'node:http'
import { printHostPort, type HostPort } from '../base/address.ts'
import { LatchkeyError, systemCode } from '../base/errors.ts'

/** What is shown at a path: a status and a text without anything secret. */
export type Page = () => { readonly status: number; readonly text: string }

/** A running server. */
export interface StatusServer {
  readonly address: HostPort
  close(): Promise<void>
}

/**
 * Serves a few pages over plain HTTP. Only `GET` and `HEAD`; at most 32 connections, none kept open.
 *
 * @throws `ERR_IO` when the address cannot be listened on.
 */
export async function openStatusServer(
  address: HostPort,
  pages: Readonly<Record<string, Page>>,
): Promise<StatusServer> {
  const listener: RequestListener = (request, response) => {
    const path = request.url?.split('?', 1)[0] ?? ''
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined
    const wrongMethod = request.method !== 'GET' && request.method !== 'HEAD'
    const { status, text } = wrongMethod
      ? { status: 405, text: 'only GET is served\n' }
      : (page?.() ?? { status: 404, text: `paths: ${Object.keys(pages).join(' ')}\n` })
    response.writeHead(status, {
      'content-type': 'text/plain; charset=utf-8',
      'content-length': Buffer.byteLength(text),
      'cache-control': 'no-store',
      connection: 'close',
      ...(wrongMethod && { allow: 'GET, HEAD' }),
    })
    response.end(text)
  }
  const limits = {
    headersTimeout: 5000,
    requestTimeout: 5000,
    connectionsCheckingInterval: 1000,
    maxHeaderSize: 8192,
  }
  const server = createServer(limits, listener)
  server.maxConnections = 32
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const reason = systemCode(error) ?? 'unknown error'
      reject(
        new LatchkeyError('ERR_IO', `cannot listen on ${printHostPort(address)}: ${reason}`, {
          hint: 'choose another address, or stop what listens there',
          cause: error,
        }),
      )
    })
    server.listen({ host: address.host, port: address.port }, resolve)
  })
  const bound = server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port
  return {
    address: { host: address.host, port },
    close: async () => {
      await new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      })
    },
  }
}

/** `ok` with status 200 while something holds, `no` with 503 while it does not. */
export function booleanPage(holds: () => boolean): Page {
  return () => (holds() ? { status: 200, text: 'ok\n' } : { status: 503, text: 'no\n' })
}
