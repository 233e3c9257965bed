import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { uptime } from 'node:os'
import { join, resolve } from 'node:path'
import { sha256Label } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import { LatchkeyError, isLatchkeyError, systemCode } from '../../src/base/errors.ts'
import { exitCodes } from '../../src/base/exit-code.ts'
import { createLineLog, type Log } from '../../src/observe/log.ts'
import { Agent } from '../../src/sidecar/agent/agent.ts'
import type { AgentEnd } from '../../src/sidecar/agent/end.ts'
import type { SidecarEvent } from '../../src/sidecar/agent/events.ts'
import { readBundle } from '../../src/sidecar/broker/peer-chain.ts'
import { TokenFile } from '../../src/sidecar/broker/token.ts'
import type { SidecarConfig } from '../../src/sidecar/config.ts'
import { hookPerformer } from '../../src/sidecar/hooks/perform.ts'
import { linuxProcessTable } from '../../src/sidecar/hooks/process-table.ts'
import { SidecarMetrics } from '../../src/sidecar/metrics.ts'
import { readPlanFile } from '../../src/sidecar/plan-file.ts'
import { systemFileOperations } from '../../src/sidecar/publish/file-operations.ts'
import { StateDirectory } from '../../src/sidecar/state-directory.ts'
import { reportError } from '../report-error.ts'
import { version } from '../version.ts'
import { openLineOutput } from '../line-output.ts'
import { claimStateAt } from './claim.ts'
import { readBounded } from './read-bounded.ts'
import { keepHeapSmall } from './small-heap.ts'
import { openStatusPages } from './status-pages.ts'

/** With `--once`: something was denied or does not exist. */
const denied = 4
/** With `--once`: the broker could not be reached in time. */
const unreachable = 5

/** Runs the sidecar with this process's files, clock and log; returns the exit code. */
export async function runSidecar(
  config: SidecarConfig,
  { signal }: { readonly signal: AbortSignal },
): Promise<number> {
  const output = openLineOutput(2)
  const log = createLineLog<SidecarEvent>({
    program: 'latchkey-sidecar',
    level: config.logLevel,
    write: output.write,
    now: () => systemClock.now(),
  })
  // The agent's own timers do not keep the process alive while it waits for a broker.
  const alive = setInterval(() => undefined, 2 ** 30)
  try {
    const metrics = new SidecarMetrics()
    await using closing = new AsyncDisposableStack()
    const agent = await openAgent(config, { log, metrics, signal, closing })
    const pages = await openStatusPages(config, { agent, log, metrics })
    try {
      return exitCodeOfEnd(await agent.run(signal), config)
    } finally {
      await pages.close()
    }
  } catch (error) {
    if (!isLatchkeyError(error, 'ERR_PLAN_INVALID')) throw error
    reportError(error)
    return exitCodes.usage
  } finally {
    clearInterval(alive)
    await output.close()
  }
}

async function openAgent(
  config: SidecarConfig,
  {
    log,
    metrics,
    signal,
    closing,
  }: {
    readonly log: Log<SidecarEvent>
    readonly metrics: SidecarMetrics
    readonly signal: AbortSignal
    readonly closing: AsyncDisposableStack
  },
): Promise<Agent> {
  const plan = await readPlanFile(
    readBounded(config.secrets, 'the plan').toString('utf8'),
    config.planDigest,
  )
  const readAuthorities = (): string => readPem(config.ca, config.caDigest)
  // A wrong file is told now, not when the first connection is tried.
  readAuthorities()
  prepareDirectory(config.root, 'root')
  if (config.state !== undefined) prepareDirectory(config.state, 'state')
  const place =
    config.state === undefined
      ? { root: config.root, path: '/run/latchkey' }
      : { root: config.state, path: '/' }
  const operations = systemFileOperations
  const state = new StateDirectory(place, operations)
  const claim = await claimStateAt(resolve(join(place.root, place.path)), { state, log, signal })
  closing.defer(() => claim?.release())
  const clock = systemClock
  const processes = linuxProcessTable({
    uid: process.getuid?.() ?? 0,
    self: process.pid,
    signal: (pid, name) => process.kill(pid, name),
  })
  return new Agent(plan, {
    root: resolve(config.root),
    state,
    exclusive: claim !== undefined,
    operations,
    broker: { address: config.broker, serverName: config.brokerName },
    readAuthorities,
    token: new TokenFile(config.token, () => readBounded(config.token, 'the token')),
    instance: randomBytes(16),
    client: `latchkey-sidecar/${version}`,
    planDigest: config.planDigest ?? '',
    tidy: keepHeapSmall(),
    performHook: hookPerformer({ root: config.root, operations, processes, clock }),
    clock,
    bootMs: () => uptime() * 1000,
    random: Math.random,
    log,
    metrics,
    previousKeptMs: config.keepPreviousMs,
    verifyEveryMs: config.verifyEveryMs,
    maxStaleMs: config.maxStaleMs,
    onStale: config.onStale,
    once: config.once,
  })
}

function readPem(path: string, digest: string | undefined): string {
  const bytes = readBounded(path, 'the file of certificate authorities')
  if (digest !== undefined && sha256Label(bytes) !== digest) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', `${path} is not the file of --ca-digest`, {
      hint: 'the pod’s authorities were changed after it was admitted: delete the pod',
    })
  }
  const pem = bytes.toString('utf8')
  if (readBundle(pem) !== undefined) return pem
  throw new LatchkeyError('ERR_CONFIG_INVALID', `${path} holds no certificates`, {
    hint: 'name a PEM file with 1 to 32 certificates',
  })
}

function prepareDirectory(path: string, name: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', `${name} ${path}: ${systemCode(error) ?? ''}`, {
      hint: 'name a directory that this user may write to',
    })
  }
}

/** Says on standard error why a run with `--once` did not succeed. */
function exitCodeOfEnd(end: AgentEnd, { once }: SidecarConfig): number {
  switch (end.kind) {
    case 'published':
      return exitCodes.done
    case 'stopped':
      if (once === undefined) return exitCodes.done
      process.stderr.write('error: stopped before everything was decided\n')
      return exitCodes.failed
    case 'denied':
      for (const { secret, path, why } of end.shortfalls) {
        process.stderr.write(`error: secret ${secret} for ${path}: ${why}\n`)
      }
      return denied
    case 'refused':
      process.stderr.write(`error: the broker does not serve this pod: ${end.reason}\n`)
      return denied
    case 'unreachable':
      process.stderr.write('error: not everything was decided in time\n')
      if (end.error !== undefined) reportError(end.error)
      return unreachable
    case 'failed':
      reportError(end.error)
      return exitCodes.failed
  }
}
