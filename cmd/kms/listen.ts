import type { Socket } from 'node:net'
import { LatchkeyError } from '../../src/base/errors.ts'
import type { RandomBytes } from '../../src/base/random.ts'
import type { KmsConfig } from '../../src/kms/config.ts'
import { resolveGroup } from '../../src/net/group.ts'
import { adoptSocket, onlyPassedSocket, passedSockets } from '../../src/net/systemd-socket.ts'
import { listenUnix, type SocketListener } from '../../src/net/unix-listener.ts'

/**
 * Opens the socket that the configuration names, or takes the one that systemd passed.
 *
 * @throws `ERR_USAGE` when there is neither; as `listenUnix` and `adoptSocket`.
 */
export async function listen(
  config: Pick<KmsConfig, 'listen' | 'socketGroup'>,
  deps: {
    readonly onConnection: (socket: Socket) => void
    readonly onError: (error: Error) => void
    readonly uid: number
    readonly random: RandomBytes
  },
): Promise<SocketListener> {
  const identity = { uid: deps.uid, gid: process.getgid?.() ?? 0 }
  const handlers = { onConnection: deps.onConnection, onError: deps.onError, identity }
  const passed = onlyPassedSocket(passedSockets(process.env, process.pid))
  const path = config.listen
  if (passed !== undefined) {
    if (config.socketGroup !== undefined) {
      throw new LatchkeyError('ERR_USAGE', '--socket-group is for a socket of our own', {
        hint: 'set SocketGroup= and SocketMode=0660 in the socket unit',
      })
    }
    return adoptSocket(passed, {
      ...handlers,
      ...(path === undefined ? {} : { expectedPath: path }),
    })
  }
  if (path === undefined) {
    throw new LatchkeyError('ERR_USAGE', '--listen is missing, and systemd passed no socket', {
      hint: 'see latchkey-kms --help',
    })
  }
  const group = config.socketGroup
  const groupId = group && (await resolveGroup(group, { field: 'socket-group' }))
  return listenUnix(path, {
    ...handlers,
    random: deps.random,
    umask: (mask) => process.umask(mask),
    now: () => Date.now(),
    ...(typeof groupId === 'number' ? { groupId } : {}),
  })
}
