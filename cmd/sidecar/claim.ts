import { randomBytes } from 'node:crypto'
import { systemClock } from '../../src/base/clock.ts'
import { isLatchkeyError } from '../../src/base/errors.ts'
import { listenUnix } from '../../src/net/unix-listener.ts'
import type { Log } from '../../src/observe/log.ts'
import type { SidecarEvent } from '../../src/sidecar/agent/events.ts'
import { claimState, type StateClaim } from '../../src/sidecar/claim.ts'
import type { StateDirectory } from '../../src/sidecar/state-directory.ts'

/**
 * Takes the directory of state, which is at `path`, for this process. What only keeps it from being
 * taken keeps no sidecar from starting.
 *
 * @throws `ERR_BUSY` when another sidecar has it.
 */
export async function claimStateAt(
  path: string,
  options: {
    readonly state: StateDirectory
    readonly log: Log<SidecarEvent>
    readonly signal: AbortSignal
  },
): Promise<StateClaim | undefined> {
  const { state, log, signal } = options
  try {
    state.prepare()
    const claim = await claimState(path, {
      listen: (socket, onConnection) =>
        listenUnix(socket, {
          onConnection,
          onError: (error) => {
            log.warn('state.unclaimed', {}, error)
          },
          identity: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
          random: randomBytes,
          umask: (mask) => process.umask(mask),
          now: () => systemClock.now(),
        }),
      clock: systemClock,
      signal,
      onWait: () => {
        log.warn('state.in_use')
      },
    })
    if (claim === undefined) log.debug('state.unclaimed')
    return claim
  } catch (error) {
    if (!isLatchkeyError(error) || error.code === 'ERR_BUSY') throw error
    log.debug('state.unclaimed', {}, error)
    return undefined
  }
}
