import { hostname } from 'node:os'
import { systemClock } from '../../src/base/clock.ts'
import { createRandomPool } from '../../src/base/random.ts'
import { systemDisk } from '../../src/clients/disk.ts'
import { openStore } from '../../src/keyring/stores/open.ts'
import type { KmsConfig } from '../../src/kms/config.ts'
import type { KmsEvent } from '../../src/kms/events.ts'
import { runKms } from '../../src/kms/run.ts'
import { createServiceManager, notifyBySystemd } from '../../src/net/service-manager.ts'
import { openBufferedLog } from '../buffered-log.ts'
import { version } from '../version.ts'
import { prepareToListen } from './listen.ts'
import { rootOpener } from './open-roots.ts'

/** Runs the plugin with this process's files, socket, clock and log, until the signal. */
export async function serveKms(
  config: KmsConfig,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  // From the start: until somebody listens for it, SIGHUP ends a process.
  let reload = (): void => undefined
  process.on('SIGHUP', () => {
    reload()
  })
  const { log, flush } = openBufferedLog<KmsEvent>({
    program: 'latchkey-kms',
    level: config.logLevel,
  })
  const random = createRandomPool()
  const uid = process.getuid?.() ?? 0
  const common = { disk: systemDisk, random, uid, cwd: process.cwd() }
  const environment = process.env
  const listen = await prepareToListen(config, { uid, random })
  const node = {
    name: config.nodeName ?? hostname().toLowerCase(),
    reload: {
      signal,
      onProblem: (error: unknown) => {
        log.warn('kms.etcd_certificate_refused', {}, error)
      },
    },
  }
  const store = await openStore(config.keyring, common, { etcd: config.etcd, node })
  const openRoots = await rootOpener(config.roots, { ...common, environment, log })
  try {
    await runKms({
      store,
      openRoots,
      listen,
      metricsAddress: config.metrics,
      strictHealth: config.strictHealth,
      version,
      serviceManager: createServiceManager({
        environment,
        pid: process.pid,
        notify: notifyBySystemd(environment),
        monotonicUs: () => process.hrtime.bigint() / 1000n,
        sleep: (ms, until) => systemClock.sleep(ms, until),
        onError: (error) => {
          log.warn('kms.notify_failed', {}, error)
        },
      }),
      log,
      clock: systemClock,
      random,
      jitter: Math.random,
      signal,
      onReloadRequest: (request) => {
        reload = request
      },
    })
  } finally {
    store.close?.()
    await flush()
  }
}
