import { execFile } from 'node:child_process'
import { LatchkeyError } from '../base/errors.ts'

/**
 * Tells systemd how the service is doing (sd_notify(3)). Where no service manager asked to be told,
 * nothing happens. No method rejects: what went wrong is handed to `onError`.
 */
export interface ServiceManager {
  /** Ready to serve. `status` is shown by `systemctl status`. */
  ready(status: string): Promise<void>
  /** Still serving, with another status line. */
  status(status: string): Promise<void>
  /** Reloading; {@link ServiceManager.ready} ends it. */
  reloading(): Promise<void>
  stopping(): Promise<void>
  /** Sends a sign of life as often as `WatchdogSec=` asks, until `signal` is aborted. */
  watchdog(signal: AbortSignal): Promise<void>
}

/** Sends `lines` to the service manager. */
export type Notify = (lines: readonly string[]) => Promise<void>

/** What {@link createServiceManager} needs. */
export interface ServiceManagerDependencies {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly pid: number
  readonly notify: Notify
  /** CLOCK_MONOTONIC in microseconds, which `RELOADING=1` carries. */
  readonly monotonicUs: () => bigint
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  readonly onError: (error: unknown) => void
}

/** A {@link ServiceManager} as the environment variables of sd_notify(3) describe it. */
export function createServiceManager(deps: ServiceManagerDependencies): ServiceManager {
  const socket = deps.environment['NOTIFY_SOCKET']
  let tail = Promise.resolve()
  // One after the other, so that READY=1 cannot overtake RELOADING=1.
  const tell = (...lines: string[]): Promise<void> => {
    if (socket === undefined || socket === '') return Promise.resolve()
    tail = tail.then(() => deps.notify(lines)).catch(deps.onError)
    return tail
  }
  const statusLine = (status: string): string => `STATUS=${status.replace(/[\r\n]/g, ' ')}`
  return {
    ready: (status) => tell('READY=1', statusLine(status)),
    status: (status) => tell(statusLine(status)),
    reloading: () => tell('RELOADING=1', `MONOTONIC_USEC=${deps.monotonicUs()}`),
    stopping: () => tell('STOPPING=1'),
    watchdog: async (signal) => {
      const intervalMs = watchdogIntervalMs(deps)
      if (socket === undefined || intervalMs === undefined) return
      while (!signal.aborted) {
        await tell('WATCHDOG=1')
        await deps.sleep(intervalMs, signal).catch(() => undefined)
      }
    },
  }
}

/** Half of `WATCHDOG_USEC`, as sd_watchdog_enabled(3) recommends, when it is meant for this process. */
function watchdogIntervalMs({
  environment,
  pid,
}: Pick<ServiceManagerDependencies, 'environment' | 'pid'>): number | undefined {
  const { WATCHDOG_USEC: microseconds, WATCHDOG_PID: forPid } = environment
  if (microseconds === undefined || !/^[1-9][0-9]{0,14}$/.test(microseconds)) return undefined
  if (forPid !== undefined && forPid !== String(pid)) return undefined
  return Math.max(10, Number(microseconds) / 1000 / 2)
}

/**
 * Sends by running systemd-notify(1), which every systemd machine has: Node.js has no unix datagram
 * sockets, and a native module would need a compiler. The message comes from a child process, so
 * the unit needs `NotifyAccess=all` (or `exec`).
 *
 * @throws `ERR_IO` when the program is missing, fails or takes longer than 5 seconds.
 */
export function notifyBySystemd(environment: Readonly<Record<string, string | undefined>>): Notify {
  const { PATH, NOTIFY_SOCKET } = environment
  return (lines) =>
    new Promise((resolve, reject) => {
      execFile(
        'systemd-notify',
        [...lines],
        { env: { PATH, NOTIFY_SOCKET }, timeout: 5_000, killSignal: 'SIGKILL' },
        (cause) => {
          if (cause === null) {
            resolve()
            return
          }
          reject(
            new LatchkeyError('ERR_IO', 'cannot notify systemd by running systemd-notify', {
              hint: 'set NotifyAccess=all in the unit, or Type=exec instead of Type=notify',
              cause,
            }),
          )
        },
      )
    })
}
