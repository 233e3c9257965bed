import type { Server } from 'node:net'
import { printHostPort, type HostPort } from '../base/address.ts'
import { LatchkeyError, systemCode } from '../base/errors.ts'

/**
 * Lets a server listen, and gives the address with the port that the system chose. That accepting a
 * connection fails later, as when descriptors run out, does not end the process.
 *
 * @param hint - what to do when the address cannot be listened on.
 * @param backlog - connections that wait to be accepted, at most; the system's default without it.
 * @throws `ERR_IO`.
 */
export async function listenTcp(
  server: Server,
  address: HostPort,
  { hint, backlog }: { readonly hint: string; readonly backlog?: number },
): Promise<HostPort> {
  const { host, port } = address
  await new Promise<void>((resolve, reject) => {
    server.on('error', (error) => {
      const reason = systemCode(error) ?? 'unknown error'
      reject(
        new LatchkeyError('ERR_IO', `cannot listen on ${printHostPort(address)}: ${reason}`, {
          hint,
          cause: error,
        }),
      )
    })
    server.listen({ host, port, ...(backlog !== undefined && { backlog }) }, resolve)
  })
  const bound = server.address()
  return { host, port: typeof bound === 'object' && bound !== null ? bound.port : port }
}
