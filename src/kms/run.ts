import { printHostPort, type HostPort } from '../base/address.ts'
import type { Clock } from '../base/clock.ts'
import type { RandomBytes } from '../base/random.ts'
import { markOf } from '../keyring/load.ts'
import type { RootKey } from '../keyring/root.ts'
import type { KeyringStore } from '../keyring/store.ts'
import {
  GrpcConnections,
  localLimits,
  type GrpcConnectionsOptions,
} from '../net/grpc-connections.ts'
import { runTasks } from '../net/run-tasks.ts'
import type { ServiceManager } from '../net/service-manager.ts'
import type { SocketListener } from '../net/unix-listener.ts'
import { openEndpoint } from '../observe/endpoint.ts'
import { createMetrics } from '../observe/metrics.ts'
import type { KmsLog } from './events.ts'
import { KmsHealth } from './findings.ts'
import { createKmsServices } from './grpc.ts'
import { createKmsMetrics, type KmsMetrics } from './metrics.ts'
import { createProber } from './prober.ts'
import { createMembershipTask } from './membership.ts'
import { createReloader, type Reloader } from './reload.ts'
import { tryKey, type KeyTrial } from './self-test.ts'
import { Serving } from './snapshot.ts'
import { createWitness } from './witness.ts'
import type { Socket } from 'node:net'

/** What the plugin is made of and depends on. */
export interface KmsDependencies {
  readonly store: KeyringStore
  readonly openRoots: () => Promise<readonly RootKey[]>
  /** Opens the socket, whose connections go to the handler from then on. */
  readonly listen: (handlers: {
    readonly onConnection: (socket: Socket) => void
    readonly onError: (error: Error) => void
  }) => Promise<SocketListener>
  readonly metricsAddress: HostPort | undefined
  readonly strictHealth: boolean
  readonly version: string
  readonly serviceManager: ServiceManager
  readonly log: KmsLog
  readonly clock: Clock
  readonly random: RandomBytes
  /** Uniform in [0, 1). */
  readonly jitter: () => number
  /** Ends the plugin in good order. */
  readonly signal: AbortSignal
  /** Called once with a function that makes the plugin look at the keyring again (SIGHUP). */
  readonly onReloadRequest?: (reload: () => void) => void
  /** Default: a real one. */
  readonly attempt?: KeyTrial
  /** Default {@link localLimits}. */
  readonly limits?: GrpcConnectionsOptions['limits']
  /** Called when the socket is open. */
  readonly onListening?: (listener: SocketListener) => void
}

/** Longest wait for the first keyring before the socket opens all the same. */
const firstLoadMs = 10_000
/** For calls in flight when stopping: the API server's own timeout is 3 seconds by default. */
const drainMs = 5_000
const stopWithinMs = 3_000

/**
 * Runs the KMS plugin until the signal: opens the keyring, then the socket, and keeps the keyring
 * fresh. A keyring that cannot be opened is no reason to end: calls are UNAVAILABLE until it can.
 *
 * @throws when the socket or the metrics endpoint cannot be opened, or a task fails.
 */
export async function runKms(deps: KmsDependencies): Promise<void> {
  const { log, clock, random, serviceManager: manager } = deps
  const serving = new Serving()
  const health = new KmsHealth({ strict: deps.strictHealth, clock })
  health.set('no-keyring', true)
  const registry = createMetrics()
  const metrics = createKmsMetrics(registry, {
    version: deps.version,
    health,
    inFlight: () => connections.inFlight,
    now: () => clock.now(),
  })
  const common = { serving, health, metrics, log, clock, random }
  const { membership } = deps.store
  const prober = createProber({
    ...common,
    attempt: deps.attempt ?? tryKey(random),
    onServed: ({ keyring, unusable }) => {
      // Others may encrypt with the staged key once this node has said that it can decrypt with it.
      if (unusable.size === 0) membership?.acknowledge(markOf(keyring))
    },
  })
  let listening = false
  const tell = (): void => {
    if (listening) void manager.status(statusLine(serving, health))
  }
  const reloader = createReloader({ ...common, ...deps, prober, onChange: tell })
  deps.onReloadRequest?.(reloader.trigger)
  const witness = createWitness(common)
  const connections = new GrpcConnections({
    limits: deps.limits ?? localLimits,
    register: createKmsServices({ ...common, witness, version: deps.version }),
    onCount: metrics.connections,
    onTurnedAway: metrics.turnedAway,
  })
  const endpoint =
    deps.metricsAddress === undefined
      ? undefined
      : await openEndpoint(deps.metricsAddress, { metrics: registry, health, log })
  try {
    if (endpoint !== undefined) {
      registry.addProcessMetrics()
      log.info('kms.endpoint_listening', { address: printHostPort(endpoint.address) })
    }
    await firstLoad(reloader, deps)
    const listener = await deps.listen({
      onConnection: (socket) => {
        connections.accept(socket)
      },
      onError: (error) => {
        log.error('kms.socket_error', {}, error)
      },
    })
    const { path, origin } = listener
    log.info('kms.listening', { path, origin, version: deps.version })
    deps.onListening?.(listener)
    listening = true
    void manager.ready(statusLine(serving, health))
    try {
      await runTasks(
        [
          { name: 'keyring', run: (signal) => reloader.run(signal) },
          { name: 'keyring watch', run: (signal) => deps.store.watch(reloader.trigger, signal) },
          { name: 'self-test', run: (signal) => prober.run(signal) },
          ...createMembershipTask({ ...common, membership, onRejoined: reloader.trigger }),
          { name: 'watchdog', run: (signal) => manager.watchdog(signal) },
        ],
        { signal: deps.signal, stopWithinMs },
      )
    } finally {
      await stop({ listener, connections, metrics, ...deps })
    }
  } finally {
    await endpoint?.close()
    serving.replace(undefined)
  }
}

async function firstLoad(reloader: Reloader, { clock, signal }: KmsDependencies): Promise<void> {
  const done = new AbortController()
  const limit = clock.sleep(firstLoadMs, AbortSignal.any([signal, done.signal]))
  await Promise.race([reloader.reload(), limit.catch(() => undefined)])
  done.abort()
}

async function stop(
  running: KmsDependencies & {
    readonly listener: SocketListener
    readonly connections: GrpcConnections
    readonly metrics: KmsMetrics
  },
): Promise<void> {
  running.log.info('kms.stopping', { inFlight: running.connections.inFlight })
  running.metrics.draining()
  void running.serviceManager.stopping()
  await running.listener.stop()
  const { cut } = await running.connections.drain(drainMs)
  running.log.info('kms.stopped', { cut })
}

function statusLine({ snapshot }: Serving, health: KmsHealth): string {
  const found = health.findings.map(({ reason }) => reason)
  const serving =
    snapshot === undefined ? 'not serving' : `serving generation ${snapshot.keyring.generation}`
  return [serving, ...found].join('; ')
}
