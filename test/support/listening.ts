import type { ExecutionContext } from 'ava'
import { chmod } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { createRandomPool } from '../../src/base/random.ts'
import { listenUnix, type ListenOptions, type SocketListener } from '../../src/net/unix-listener.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** Whom the tests run as. */
export const ourIdentity = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }

/** What `listenUnix` needs, with a handler that greets and hangs up. */
export function listenOptions(
  overrides: Partial<ListenOptions> & { readonly greeting?: string } = {},
): ListenOptions {
  const { greeting = 'hello', ...rest } = overrides
  return {
    onConnection: (socket: Socket) => {
      socket.on('error', () => undefined)
      socket.end(greeting)
    },
    onError: (error) => {
      throw error
    },
    identity: ourIdentity,
    umask: (mask) => process.umask(mask),
    random: createRandomPool(),
    now: () => Date.now(),
    ...rest,
  }
}

/** A listener that goes with the test. */
export async function listening(
  t: ExecutionContext,
  path: string,
  overrides: Parameters<typeof listenOptions>[0] = {},
): Promise<SocketListener> {
  const listener = await listenUnix(path, listenOptions(overrides))
  t.teardown(() => listener.stop())
  return listener
}

/** A directory that is safe for sockets, short enough for one, and goes with the test. */
export async function socketDirectory(t: ExecutionContext): Promise<string> {
  const directory = await temporaryDirectory(t)
  await chmod(directory, 0o700)
  return directory
}

/** What the listener at `path` says first, or the code of the error. */
export function greetingAt(path: string): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(path)
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? error.message)
    })
    socket.on('close', () => {
      resolve(text)
    })
  })
}
