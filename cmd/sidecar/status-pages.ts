import { printHostPort } from '../../src/base/address.ts'
import type { Log } from '../../src/observe/log.ts'
import type { Agent } from '../../src/sidecar/agent/agent.ts'
import type { SidecarEvent } from '../../src/sidecar/agent/events.ts'
import type { SidecarConfig } from '../../src/sidecar/config.ts'
import type { SidecarMetrics } from '../../src/sidecar/metrics.ts'
import {
  awaitedPage,
  booleanPage,
  openStatusServer,
  type StatusServer,
} from '../../src/sidecar/status-server.ts'

// Within the time limit of the probe that the webhook writes, with a second for a busy machine.
const startWaitMs = 4_000

/**
 * Serves what the configuration asks for: yes or no to probes on one address, metrics on another.
 *
 * @throws `ERR_IO`.
 */
export async function openStatusPages(
  config: SidecarConfig,
  parts: {
    readonly agent: Agent
    readonly log: Log<SidecarEvent>
    readonly metrics: SidecarMetrics
  },
): Promise<{ close(): Promise<void> }> {
  const { agent, log, metrics } = parts
  const servers: StatusServer[] = []
  const close = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.close()))
  }
  try {
    if (config.health !== undefined) {
      const server = await openStatusServer(config.health, {
        '/startz': awaitedPage(
          () => agent.started,
          () => agent.untilStarted(),
          startWaitMs,
        ),
        '/readyz': booleanPage(() => agent.ready),
        '/livez': booleanPage(() => true),
      })
      servers.push(server)
      log.info('status.listening', { pages: 'health', address: printHostPort(server.address) })
    }
    if (config.metrics !== undefined) {
      const server = await openStatusServer(config.metrics, {
        '/metrics': () => {
          agent.measure()
          metrics.set('resident_memory_bytes', process.memoryUsage.rss())
          return { status: 200, text: metrics.text() }
        },
      })
      servers.push(server)
      log.info('status.listening', { pages: 'metrics', address: printHostPort(server.address) })
    }
  } catch (error) {
    await close()
    throw error
  }
  return { close }
}
