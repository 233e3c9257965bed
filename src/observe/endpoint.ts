import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { HostPort } from '../base/address.ts'
import { printHostPort } from '../base/address.ts'
import { LatchkeyError, systemCode } from '../base/errors.ts'
import type { Health } from './health.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'

/** What the endpoint shows. */
export interface EndpointDependencies {
  readonly metrics: Metrics
  readonly health: Health
  readonly log: Log<'endpoint.failed'>
}

/** A running endpoint. */
export interface Endpoint {
  /** Where it listens, with the port that the system chose. */
  readonly address: HostPort
  /** Ends every connection and resolves when the port is free. */
  close(): Promise<void>
}

/**
 * Serves `/metrics`, `/livez` and `/readyz` over plain HTTP: for Prometheus and the kubelet, with
 * nothing in it that is secret. Only `GET` and `HEAD`; at most 64 connections; a client has 5
 * seconds to say what it wants.
 *
 * @throws `ERR_IO` when the address cannot be listened on.
 */
export async function openEndpoint(
  address: HostPort,
  dependencies: EndpointDependencies,
): Promise<Endpoint> {
  const server = createServer(
    {
      headersTimeout: 5_000,
      requestTimeout: 5_000,
      keepAliveTimeout: 30_000,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: 8_192,
    },
    (request, response) => {
      answer(request, response, dependencies).catch((error: unknown) => {
        dependencies.log.error('endpoint.failed', {}, error)
        if (!response.headersSent) send(response, 500, 'internal error\n')
        response.destroy()
      })
    },
  )
  server.maxConnections = 64
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const reason = systemCode(error) ?? 'unknown error'
      reject(
        new LatchkeyError('ERR_IO', `cannot listen on ${printHostPort(address)}: ${reason}`, {
          hint: 'choose another address for the metrics endpoint, or stop what listens there',
          cause: error,
        }),
      )
    })
    server.listen({ host: address.host, port: address.port }, resolve)
  })
  const bound = server.address()
  return {
    address: {
      host: address.host,
      port: typeof bound === 'object' && bound !== null ? bound.port : address.port,
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve()
        })
        server.closeAllConnections()
      }),
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { metrics, health }: EndpointDependencies,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD')
    send(response, 405, 'only GET is served\n')
    return
  }
  switch (request.url?.split('?')[0]) {
    case '/metrics': {
      const { contentType, text } = await metrics.expose()
      send(response, 200, text, contentType)
      return
    }
    case '/livez':
      send(response, 200, 'ok\n')
      return
    case '/readyz': {
      const lines = health.findings.map((it) => `${it.severity}: ${it.name}: ${it.reason}\n`)
      send(
        response,
        health.ready ? 200 : 503,
        `${health.ready ? 'ok' : 'not ready'}\n${lines.join('')}`,
      )
      return
    }
    default:
      send(response, 404, 'paths: /metrics /livez /readyz\n')
  }
}

function send(
  response: ServerResponse,
  status: number,
  text: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, {
    'Content-Type': contentType,
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  })
  response.end(text)
}
