import { once } from 'node:events'
import { createServer } from 'node:http'
import { addresses } from '../../e2e/support/one-node/addresses.ts'

/** Tells when the process of an app has started: its first act is to call here. */
export interface Starts {
  /** What the app's container runs. */
  command(name: string): readonly string[]
  /** Resolves with `performance.now()` at the call of the app `name`. */
  of(name: string): Promise<number>
  close(): void
}

/** Listens on the node, where pods reach it. */
export async function listenForStarts(): Promise<Starts> {
  const calls = new Map<string, PromiseWithResolvers<number>>()
  const call = (name: string): PromiseWithResolvers<number> => {
    const known = calls.get(name) ?? Promise.withResolvers<number>()
    calls.set(name, known)
    return known
  }
  const server = createServer((request, response) => {
    call((request.url ?? '').slice(1)).resolve(performance.now())
    response.end()
  })
  server.listen(0, addresses.node)
  await once(server, 'listening')
  const bound = server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0
  return {
    command: (name) => [
      ...[
        'sh',
        '-c',
        `wget -q -O /dev/null http://${addresses.node}:${port}/${name}; exec sleep 2147483647`,
      ],
    ],
    of: async (name) => await call(name).promise,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
