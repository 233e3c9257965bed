import { fstat } from 'node:fs'
import { lstat, readFile } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname, isAbsolute } from 'node:path'
import { promisify } from 'node:util'
import { LatchkeyError } from '../base/errors.ts'
import { verifySocketDirectory, type Identity } from './socket-directory.ts'
import type { SocketListener } from './unix-listener.ts'

/** A socket that the service manager opened for us. */
export interface PassedSocket {
  readonly fd: number
  /** `FileDescriptorName=` of the socket unit, which is the unit's name when it sets none. */
  readonly name: string | undefined
}

const firstFd = 3
const maxPassed = 16

/**
 * The sockets passed to this process by sd_listen_fds(3): `LISTEN_FDS` of them from descriptor 3,
 * when `LISTEN_PID` is us; none otherwise, since the variables may be inherited from a parent.
 *
 * @throws `ERR_CONFIG_INVALID` when `LISTEN_FDS` is no small number.
 */
export function passedSockets(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): readonly PassedSocket[] {
  const { LISTEN_FDS: count, LISTEN_PID: forPid, LISTEN_FDNAMES: names } = environment
  if (count === undefined || forPid !== String(pid)) return []
  if (!/^[0-9]{1,2}$/.test(count) || Number(count) > maxPassed) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', `LISTEN_FDS is not a number up to ${maxPassed}`)
  }
  const listed = names === undefined ? [] : names.split(':')
  return Array.from({ length: Number(count) }, (_, n) => ({ fd: firstFd + n, name: listed[n] }))
}

/**
 * The one socket to serve on, or `undefined` when none was passed.
 *
 * @throws `ERR_CONFIG_INVALID` when there are several: which API server's would ours be?
 */
export function onlyPassedSocket(sockets: readonly PassedSocket[]): PassedSocket | undefined {
  if (sockets.length <= 1) return sockets[0]
  throw new LatchkeyError(
    'ERR_CONFIG_INVALID',
    `${sockets.length} sockets were passed, expected one`,
    {
      hint: 'keep a single ListenStream= in the socket unit',
    },
  )
}

/**
 * Serves on a socket that systemd opened. It stays systemd's: stopping closes our copy and leaves
 * the path, so that clients who connect during a restart wait in the backlog and are not refused.
 *
 * @throws `ERR_SOCKET_PATH` when it is no unix stream socket with a file-system path, or not the
 * `expectedPath`; `ERR_SOCKET_UNSAFE` when everybody may connect to it (the default of systemd is
 * `SocketMode=0666`) or others may replace it.
 */
export async function adoptSocket(
  passed: PassedSocket,
  options: {
    readonly onConnection: (socket: Socket) => void
    readonly onError: (error: Error) => void
    readonly identity: Identity
    readonly expectedPath?: string
  },
): Promise<SocketListener> {
  // Nothing is accepted before the checks are through: connections wait in the backlog.
  const path = await pathOfPassed(passed.fd, options.expectedPath)
  await verifySocketDirectory(dirname(path), options.identity)
  await checkMode(path)
  const server = createServer(options.onConnection)
  await listenOn(server, passed.fd)
  server.on('error', options.onError)
  return {
    path,
    origin: 'systemd',
    stop: async () => {
      server.close()
    },
  }
}

async function pathOfPassed(fd: number, expectedPath: string | undefined): Promise<string> {
  const bound = await boundPath(fd)
  if (bound !== undefined && !isAbsolute(bound)) {
    throw wrong('has no file-system path', 'set ListenStream= to an absolute path')
  }
  if (bound !== undefined && expectedPath !== undefined && bound !== expectedPath) {
    throw wrong('is not the one that listen names', 'leave listen out, or set ListenStream= to it')
  }
  const path = bound ?? expectedPath
  if (path !== undefined) return path
  throw wrong(
    'belongs to another network namespace, so that its path cannot be seen',
    'name its path with listen as well',
  )
}

/** Path of the unix stream socket `fd` from the kernel's table; `undefined` when it is not listed. */
async function boundPath(fd: number): Promise<string | undefined> {
  const [stat, table] = await Promise.all([
    promisify(fstat)(fd).catch(() => undefined),
    readFile('/proc/self/net/unix', 'latin1').catch(() => ''),
  ])
  if (stat?.isSocket() !== true) throw wrong('is no socket', 'start the service by its socket unit')
  // Num RefCount Protocol Flags Type St Inode Path: proc_net_unix in net/unix/af_unix.c
  const row = /^\S+: \S+ \S+ \S+ (\S+) \S+ +(\d+)(?: (.*))?$/
  for (const line of table.split('\n')) {
    const [, type, inode, path] = row.exec(line) ?? []
    if (inode !== String(stat.ino)) continue
    if (type !== '0001') throw wrong('is no stream socket', 'use ListenStream= in the socket unit')
    return path === undefined ? '' : Buffer.from(path, 'latin1').toString()
  }
  return undefined
}

async function checkMode(path: string): Promise<void> {
  const stat = await lstat(path).catch(() => undefined)
  if (stat?.isSocket() !== true) {
    throw wrong('is no longer at its path', 'restart the socket unit')
  }
  if ((stat.mode & 0o007) === 0) return
  throw new LatchkeyError(
    'ERR_SOCKET_UNSAFE',
    'everybody may connect to the socket that systemd passed',
    { hint: 'set SocketMode=0600 (or 0660 with SocketGroup=) in the socket unit' },
  )
}

async function listenOn(server: Server, fd: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(wrong('cannot be listened on', 'use ListenStream= and Accept=no', error))
    })
    server.listen({ fd }, () => {
      // Node.js knows no address of a unix socket that it did not bind, and knows that of TCP.
      if (server.address() === null) {
        resolve()
        return
      }
      server.close()
      reject(wrong('is no unix socket', 'set ListenStream= to an absolute path'))
    })
  })
  server.removeAllListeners('error')
}

function wrong(what: string, hint: string, cause?: unknown): LatchkeyError {
  const message = `the socket that systemd passed ${what}`
  return new LatchkeyError('ERR_SOCKET_PATH', message, { hint, cause })
}
