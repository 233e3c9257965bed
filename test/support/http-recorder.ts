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
  /** Answers wait for it. */
  hold: Promise<unknown>
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
    void recorder.hold.then(() => {
      response.writeHead(recorder.status, { location: 'http://127.0.0.1:1/elsewhere' })
      response.end('x'.repeat(100))
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(port, host, resolve)
  })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port: bound } = server.address() as AddressInfo
  const recorder: HttpRecorder = { port: bound, requests, status: 200, hold: Promise.resolve() }
  return recorder
}
