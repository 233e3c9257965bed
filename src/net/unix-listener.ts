import { chmod, chown, link, lstat, readdir, unlink } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { LatchkeyError, systemCode } from '../base/errors.ts'
import type { RandomBytes } from '../base/random.ts'
import { verifySocketDirectory, type Identity } from './socket-directory.ts'
import {
  askSocket,
  identifySocket,
  isTemporaryName,
  removeIfSame,
  sameFile,
  temporaryBeside,
  type FileIdentity,
} from './socket-file.ts'

/** A unix socket that is being listened on. */
export interface SocketListener {
  readonly path: string
  /** Where the socket came from. */
  readonly origin: 'own' | 'systemd'
  /**
   * Takes no further connections and, if the path is ours, removes it. Connections that are open
   * stay. Never rejects because the path is already gone or belongs to somebody else by now.
   */
  stop(): Promise<void>
}

/** What {@link listenUnix} needs. */
export interface ListenOptions {
  readonly onConnection: (socket: Socket) => void
  /** Errors of the listening socket after it was opened. */
  readonly onError: (error: Error) => void
  readonly identity: Identity
  /** Numeric id of the group that may connect as well; without it, only our own user may. */
  readonly groupId?: number
  /** Sets the process's umask and returns the former one. */
  readonly umask: (mask: number) => number
  readonly random: RandomBytes
  /** Wall time in milliseconds since 1970. */
  readonly now: () => number
}

const maxAttempts = 8
const backlog = 511
const temporaryMaxAgeMs = 60_000
/** For those who start at the same time to be done; each takes milliseconds. */
const othersMs = 1_000

/**
 * Creates and listens on the unix socket `path`, in a directory that it verifies.
 *
 * @remarks
 * The socket is bound under a temporary name, given its mode there (0600, or 0660 and the group),
 * and published by `link`, which never replaces anything: of several processes that start at once
 * exactly one gets the path. A socket in the way is removed only when a connect test says that
 * nobody listens on it. Who finds a dead one may be slow to remove it, take a successor's by then and
 * be too late to put it back: so the path counts as ours once those who had a temporary name when we
 * got it have given that up and it still is. The temporary name is also what libuv unlinks when the
 * server closes, so that closing never removes a successor's socket.
 *
 * @throws `ERR_SOCKET_PATH` for a missing directory or something else than a socket on the path;
 * `ERR_SOCKET_UNSAFE` for a directory that others can write to, or a mode that does not hold;
 * `ERR_SOCKET_IN_USE` when another process listens there; `ERR_IO`.
 */
export async function listenUnix(path: string, options: ListenOptions): Promise<SocketListener> {
  await verifySocketDirectory(dirname(path), options.identity)
  await sweep(dirname(path), options)
  const temporary = temporaryBeside(path, options.random)
  let accepted = 0
  const server = createServer((socket) => {
    accepted += 1
    options.onConnection(socket)
  })
  try {
    await bind(server, temporary, options)
    await setMode(temporary, options)
    await publish(temporary, path, options)
    const file = await identifySocket(temporary)
    await unlink(temporary)
    if (file === undefined) throw new LatchkeyError('ERR_IO', `${temporary} was removed`)
    await othersAreDone(dirname(path), options)
    const now = await identifySocket(path)
    if (now === undefined || !sameFile(now, file)) throw inUse(path)
    server.on('error', options.onError)
    const { random } = options
    return {
      path,
      origin: 'own',
      stop: async () => {
        await withdraw({ path, file, random })
        await acceptBacklog(() => accepted)
        server.close()
      },
    }
  } catch (error) {
    server.close()
    await unlink(temporary).catch(() => undefined)
    if (error instanceof LatchkeyError) throw error
    const reason = systemCode(error) ?? 'unknown error'
    throw new LatchkeyError('ERR_IO', `cannot listen on ${path}: ${reason}`, { cause: error })
  }
}

async function bind(
  server: Server,
  path: string,
  { umask }: Pick<ListenOptions, 'umask'>,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    const former = umask(0o177)
    try {
      // Binds before it returns; only the event comes later.
      server.listen({ path, backlog }, resolve)
    } finally {
      umask(former)
    }
  })
  server.removeAllListeners('error')
}

async function setMode(path: string, { groupId }: Pick<ListenOptions, 'groupId'>): Promise<void> {
  const mode = groupId === undefined ? 0o600 : 0o660
  if (groupId !== undefined) {
    const { uid } = await lstat(path)
    try {
      await chown(path, uid, groupId)
    } catch (error) {
      throw new LatchkeyError(
        'ERR_SOCKET_UNSAFE',
        `the socket cannot be given to group ${groupId}`,
        {
          hint: 'run as root, or as a member of that group',
          cause: error,
        },
      )
    }
    await chmod(path, mode)
  }
  const stat = await lstat(path)
  if ((stat.mode & 0o777) === mode) return
  throw new LatchkeyError(
    'ERR_SOCKET_UNSAFE',
    `the socket was created with mode ${(stat.mode & 0o777).toString(8)} instead of ${mode.toString(8)}`,
    { hint: 'choose a directory on a file system that keeps permissions, such as /run' },
  )
}

async function publish(
  temporary: string,
  path: string,
  options: Pick<ListenOptions, 'random'>,
): Promise<void> {
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    try {
      await link(temporary, path)
      return
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error
    }
    const found = await identifySocket(path)
    if (found === undefined) continue
    const answer = await askSocket(path)
    if (answer === 'dead') await removeIfSame(path, found, options)
    if (answer === 'live') break
  }
  throw inUse(path)
}

function inUse(path: string): LatchkeyError {
  return new LatchkeyError('ERR_SOCKET_IN_USE', `another process listens on ${path}`, {
    hint: 'stop the other process first, or choose another path',
  })
}

/** Waits until the temporary names that are there are gone, but for those that a killed process left. */
async function othersAreDone(
  directory: string,
  { now }: Pick<ListenOptions, 'now'>,
): Promise<void> {
  const deadline = performance.now() + othersMs
  let others = (await readdir(directory)).filter(isTemporaryName)
  for (;;) {
    const found = await Promise.all(others.map((name) => youngSocket(join(directory, name), now)))
    others = others.filter((_, index) => found[index])
    if (others.length === 0 || performance.now() >= deadline) return
    await sleep(5)
  }
}

async function youngSocket(path: string, now: () => number): Promise<boolean> {
  const found = await identifySocket(path).catch(() => undefined)
  return found !== undefined && now() - Number(found.mtimeNs / 1_000_000n) < temporaryMaxAgeMs
}

/** Removes what a process left that was killed between binding and publishing. */
async function sweep(directory: string, options: ListenOptions): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!isTemporaryName(name)) continue
    const path = join(directory, name)
    const found = await identifySocket(path).catch(() => undefined)
    if (found === undefined) continue
    // A younger one may belong to a process that has bound and does not listen yet.
    if (options.now() - Number(found.mtimeNs / 1_000_000n) < temporaryMaxAgeMs) continue
    if ((await askSocket(path)) === 'dead') await removeIfSame(path, found, options)
  }
}

async function withdraw(own: {
  path: string
  file: FileIdentity
  random: RandomBytes
}): Promise<void> {
  // Removed while we still listen: a successor's connect test would find us alive, so nobody who
  // plays by these rules can have taken the path meanwhile.
  const now = await identifySocket(own.path).catch(() => undefined)
  if (now === undefined || !sameFile(now, own.file)) return
  await removeIfSame(own.path, own.file, own).catch(() => false)
}

/** Waits until those who connected before the path was gone are accepted, a few in each turn of the loop. */
async function acceptBacklog(accepted: () => number): Promise<void> {
  for (let turn = 0, quiet = 0, before = accepted(); turn < backlog && quiet < 3; turn += 1) {
    await nextTurn()
    quiet = accepted() === before ? quiet + 1 : 0
    before = accepted()
  }
}
