import { connect, type TLSSocket } from 'node:tls'
import type { ClusterAccess } from '../../src/clients/kubernetes-access.ts'

/** One object to patch. */
export interface PatchTarget {
  readonly path: string
  readonly uid: string
}

/**
 * The least that can patch `targets` in parallel: requests made beforehand, written to bare TLS
 * connections, one at a time on each, and of the answers nothing read but status and length. What it
 * reaches is what the API server can do.
 *
 * @returns Patches a second. Throws when one was not answered by 200.
 */
export async function barePatchLoad(
  access: ClusterAccess,
  targets: readonly PatchTarget[],
  connections: number,
): Promise<number> {
  const { ca, cert, key } = await access.credentials()
  const { hostname, port } = access.server
  const queue = targets.map(({ path, uid }) => {
    const body = `{"metadata":{"uid":"${uid}"}}`
    return Buffer.from(
      [
        `PATCH ${path} HTTP/1.1`,
        `host: ${hostname}`,
        'accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
        'content-type: application/merge-patch+json',
        `content-length: ${body.length}`,
        '',
        body,
      ].join('\r\n'),
    )
  })
  const sockets = await Promise.all(
    Array.from(
      { length: connections },
      () =>
        new Promise<TLSSocket>((resolve, reject) => {
          const socket = connect({ host: hostname, port: Number(port), ca, cert, key }, () => {
            resolve(socket)
          })
          socket.setNoDelay(true)
          socket.once('error', reject)
        }),
    ),
  )
  const begin = performance.now()
  await Promise.all(sockets.map((socket) => drain(socket, queue)))
  const seconds = (performance.now() - begin) / 1000
  for (const socket of sockets) socket.destroy()
  return targets.length / seconds
}

/** Sends requests of the queue one after the other until there are none. */
async function drain(socket: TLSSocket, queue: Buffer[]): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let held = ''
    const next = (): void => {
      const request = queue.pop()
      if (request === undefined) resolve()
      else socket.write(request)
    }
    socket.on('close', () => {
      reject(new Error('the API server closed a connection'))
    })
    socket.on('data', (chunk: Buffer) => {
      held += chunk.toString('latin1')
      const end = held.indexOf('\r\n\r\n')
      if (end < 0) return
      const length = /\r\ncontent-length: (\d+)/i.exec(held)?.[1]
      const status = held.slice(9, 12)
      if (status !== '200' || length === undefined) {
        reject(new Error(`a patch was answered by ${status}`))
        return
      }
      if (held.length < end + 4 + Number(length)) return
      held = ''
      next()
    })
    next()
  })
}
