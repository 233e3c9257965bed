import type { ExecutionContext } from 'ava'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A server on loopback that records what it is asked. */
export interface HttpRecorder {
  readonly port: number
  /** `METHOD HOST PATH` of each request. */
  readonly requests: string[]
  /** The status of the next answers. */
  status: number
  /** Delays answers, in milliseconds. */
  delayMs: number
}

/** Starts a recorder on 127.0.0.1 or another address of this machine. It stops with the test. */
export async function startRecorder(
  t: ExecutionContext,
  host = '127.0.0.1',
  port = 0,
): Promise<HttpRecorder> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    requests.push(`${method} ${headers.host ?? ''} ${url}`)
    setTimeout(() => {
      response.writeHead(recorder.status, { location: 'http://127.0.0.1:1/elsewhere' })
      response.end('x'.repeat(100))
    }, recorder.delayMs)
  })
  await new Promise<void>((resolve) => {
    server.listen(port, host, resolve)
  })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const recorder = {
    port: (server.address() as AddressInfo).port,
    requests,
    status: 200,
    delayMs: 0,
  }
  return recorder
}
