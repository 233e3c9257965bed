import type { Socket } from 'node:net'
import { LatchkeyError } from '../../src/base/errors.ts'
import type { RandomBytes } from '../../src/base/random.ts'
import type { KmsConfig } from '../../src/kms/config.ts'
import { resolveGroup } from '../../src/net/group.ts'
import { adoptSocket, onlyPassedSocket, passedSockets } from '../../src/net/systemd-socket.ts'
import { listenUnix, type SocketListener } from '../../src/net/unix-listener.ts'

/** Opens the socket. */
export type Listen = (handlers: {
  readonly onConnection: (socket: Socket) => void
  readonly onError: (error: Error) => void
}) => Promise<SocketListener>

/**
 * How to open the socket that the configuration names, or take the one that systemd passed.
 *
 * @throws `ERR_USAGE` when there is neither, `ERR_CONFIG_INVALID` for an unknown group. The function
 * that is returned throws as `listenUnix` and `adoptSocket`.
 */
export async function prepareToListen(
  config: Pick<KmsConfig, 'listen' | 'socketGroup'>,
  deps: { readonly uid: number; readonly random: RandomBytes },
): Promise<Listen> {
  const identity = { uid: deps.uid, gid: process.getgid?.() ?? 0 }
  const passed = onlyPassedSocket(passedSockets(process.env, process.pid))
  const { listen: path, socketGroup: group } = config
  if (passed !== undefined) {
    if (group !== undefined) {
      throw new LatchkeyError('ERR_USAGE', '--socket-group is for a socket of our own', {
        hint: 'set SocketGroup= and SocketMode=0660 in the socket unit',
      })
    }
    const expected = path === undefined ? {} : { expectedPath: path }
    return (handlers) => adoptSocket(passed, { ...handlers, identity, ...expected })
  }
  if (path === undefined) {
    throw new LatchkeyError('ERR_USAGE', '--listen is missing, and systemd passed no socket', {
      hint: 'see latchkey-kms --help',
    })
  }
  const allowed =
    group === undefined ? {} : { groupId: await resolveGroup(group, { field: 'socket-group' }) }
  return (handlers) =>
    listenUnix(path, {
      ...handlers,
      ...allowed,
      identity,
      random: deps.random,
      umask: (mask) => process.umask(mask),
      now: () => Date.now(),
    })
}
