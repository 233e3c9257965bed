import type { Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Bound on waiting for a port, in milliseconds. */
const patienceMs = 20_000

/**
 * Listens on a port of loopback that was ours before. While nobody listened there, another process
 * may have been given it for a connection of its own: then it waits until that is over.
 */
export async function listenAgain(server: Server, port: number): Promise<void> {
  const deadline = performance.now() + patienceMs
  while (!(await listens(server, port))) {
    if (performance.now() > deadline) throw new Error(`port ${port} stays in use`)
    await sleep(50)
  }
}

async function listens(server: Server, port: number): Promise<boolean> {
  return await new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException): void => {
      if (error.code === 'EADDRINUSE') resolve(false)
      else reject(error)
    }
    server.once('error', refuse)
    server.listen(port, '127.0.0.1', () => {
      server.off('error', refuse)
      resolve(true)
    })
  })
}
