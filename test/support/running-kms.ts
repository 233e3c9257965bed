import type { ExecutionContext } from 'ava'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { createRandomPool } from '../../src/base/random.ts'
import type { KmsEvent } from '../../src/kms/events.ts'
import { runKms, type KmsDependencies } from '../../src/kms/run.ts'
import type { ServiceManager } from '../../src/net/service-manager.ts'
import { listenUnix } from '../../src/net/unix-listener.ts'
import { listenOptions, socketDirectory } from './listening.ts'
import { keyringLab, type KeyringLab } from './kms-keyring.ts'
import { recordedLog } from './recorded-log.ts'

/** A plugin in this process, on a real socket, over a real keyring. */
export interface RunningKms {
  readonly lab: KeyringLab & { readonly create: () => Promise<void> }
  readonly socket: string
  readonly log: ReturnType<typeof recordedLog<KmsEvent>>
  /** What the service manager was told. */
  readonly told: readonly string[]
  /** Text of a path of the metrics endpoint. */
  readonly get: (path: string) => Promise<string>
  /** As SIGHUP. */
  readonly reload: () => void
  /** Ends it in good order; rejects with its error. */
  readonly stop: () => Promise<void>
  readonly ended: Promise<void>
}

/** Starts the plugin and waits until its socket is open. */
export async function runningKms(
  t: ExecutionContext,
  options: Partial<KmsDependencies> & {
    readonly empty?: boolean
    readonly lab?: RunningKms['lab']
    readonly socket?: string
  } = {},
): Promise<RunningKms> {
  const lab = options.lab ?? (await keyringLab(t, options))
  const socket = options.socket ?? join(await socketDirectory(t), 'kms.sock')
  const log = recordedLog<KmsEvent>()
  const stop = new AbortController()
  const told: string[] = []
  let reload = (): void => undefined
  let ended: Promise<void> | undefined
  await new Promise<void>((resolve, reject) => {
    ended = runKms({
      store: lab.store,
      openRoots: async () => [lab.root],
      listen: (handlers) => listenUnix(socket, { ...listenOptions(), ...handlers }),
      metricsAddress: { host: '127.0.0.1', port: 0 },
      strictHealth: false,
      version: '1.2.3',
      serviceManager: recordingManager(told),
      log: log.log,
      clock: systemClock,
      random: createRandomPool(),
      jitter: () => 0,
      signal: stop.signal,
      onReloadRequest: (request) => {
        reload = request
      },
      onListening: () => {
        resolve()
      },
      ...options,
    })
    ended.catch(reject)
  })
  const end = async (): Promise<void> => {
    stop.abort()
    await ended
  }
  t.teardown(async () => {
    await end().catch(() => undefined)
  })
  const address = log.of('kms.endpoint_listening')[0]?.fields['address']
  return {
    lab,
    socket,
    log,
    told,
    get: async (path) => await (await fetch(`http://${String(address)}${path}`)).text(),
    reload: () => {
      reload()
    },
    stop: end,
    ended: ended ?? Promise.reject(new Error('not started')),
  }
}

function recordingManager(told: string[]): ServiceManager {
  return {
    ready: async (status) => void told.push(`ready: ${status}`),
    status: async (status) => void told.push(`status: ${status}`),
    reloading: async () => void told.push('reloading'),
    stopping: async () => void told.push('stopping'),
    watchdog: async () => undefined,
  }
}
