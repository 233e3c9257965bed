import type { ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../../src/base/clock.ts'
import { parsePlan } from '../../src/injection/parse.ts'
import type { Log, LogFields } from '../../src/observe/log.ts'
import { Agent } from '../../src/sidecar/agent/agent.ts'
import type { AgentEnd } from '../../src/sidecar/agent/end.ts'
import type { SidecarEvent } from '../../src/sidecar/agent/events.ts'
import type { AgentOptions } from '../../src/sidecar/agent/options.ts'
import { TokenFile } from '../../src/sidecar/broker/token.ts'
import { hookPerformer } from '../../src/sidecar/hooks/perform.ts'
import { SidecarMetrics } from '../../src/sidecar/metrics.ts'
import { systemFileOperations } from '../../src/sidecar/publish/file-operations.ts'
import { StateDirectory } from '../../src/sidecar/state-directory.ts'
import { createAuthority } from '../e2e/support/authority.ts'
import { startFakeBroker, type FakeBroker } from './fake-broker.ts'
import { loopClock } from './loop-clock.ts'
import { temporaryDirectory } from './publishing.ts'

export const testAuthority = await createAuthority('latchkey test')
export const brokerIdentity = await testAuthority.issue({
  commonName: 'broker',
  hosts: ['127.0.0.1'],
  use: ['server'],
})

/** One line that a sidecar logged. */
export interface LogLine {
  readonly level: string
  readonly event: SidecarEvent
  readonly fields: LogFields
  readonly error: string
}

/** A log that keeps its lines. */
export function recordedLog(): { log: Log<SidecarEvent>; lines: LogLine[] } {
  const lines: LogLine[] = []
  const write =
    (level: string) =>
    (event: SidecarEvent, fields: LogFields = {}, thrown?: unknown): void => {
      lines.push({ level, event, fields, error: thrown instanceof Error ? thrown.message : '' })
    }
  return {
    log: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
    lines,
  }
}

/** A broker on loopback with a certificate of the test's authority. */
export function startBroker(t: ExecutionContext, port = 0): Promise<FakeBroker> {
  return startFakeBroker(t, { identity: brokerIdentity, port })
}

/** Where a sidecar's files are, over restarts. */
export interface Pod {
  readonly root: string
  readonly token: string
  path(name: string): string
  read(name: string): string | undefined
}

/** An empty pod with a token. */
export function createPod(t: ExecutionContext): Pod {
  const root = temporaryDirectory(t)
  const token = join(temporaryDirectory(t), 'token')
  fs.writeFileSync(token, 'token-1\n')
  return {
    root,
    token,
    path: (name) => join(root, name),
    read: (name) => {
      try {
        return fs.readFileSync(join(root, name), 'utf8')
      } catch {
        return undefined
      }
    },
  }
}

/** A sidecar that runs in this process. */
export interface RunningSidecar {
  readonly agent: Agent
  readonly metrics: SidecarMetrics
  readonly lines: LogLine[]
  readonly ended: Promise<AgentEnd>
  stop(): Promise<AgentEnd>
}

/** Starts a sidecar, with real files and a real connection. It stops with the test. */
export function startSidecar(
  t: ExecutionContext,
  options: {
    readonly pod: Pod
    readonly plan: string
    readonly broker: FakeBroker | { readonly address: FakeBroker['address'] }
  } & Partial<Omit<AgentOptions, 'broker'>>,
): RunningSidecar {
  const { pod, plan, broker, ...rest } = options
  const { log, lines } = recordedLog()
  const metrics = new SidecarMetrics()
  const operations = options.operations ?? systemFileOperations
  const processes = { list: () => [], signal: () => undefined }
  const agent = new Agent(parsePlan(plan), {
    root: pod.root,
    state: new StateDirectory({ root: pod.root, path: '/run/latchkey' }, operations),
    exclusive: true,
    operations,
    readAuthorities: () => testAuthority.cert,
    token: new TokenFile(pod.token, () => fs.readFileSync(pod.token)),
    instance: randomBytes(16),
    client: 'test',
    planDigest: '',
    performHook: hookPerformer({ root: pod.root, operations, processes, clock: loopClock }),
    tidy: () => undefined,
    clock: loopClock,
    bootMs: () => loopClock.monotonicMs(),
    random: () => 0,
    log,
    metrics,
    previousKeptMs: 60_000,
    verifyEveryMs: 30_000,
    maxStaleMs: undefined,
    onStale: 'report',
    once: undefined,
    ...rest,
    broker: { address: broker.address, serverName: undefined },
  })
  const stopping = new AbortController()
  const ended = agent.run(stopping.signal)
  ended.catch(() => undefined)
  const stop = async (): Promise<AgentEnd> => {
    stopping.abort()
    return await ended
  }
  t.teardown(async () => {
    await stop().catch(() => undefined)
  })
  return { agent, metrics, lines, ended, stop }
}

/** {@link loopClock}, but for sleeps of `ms` milliseconds, which last until `until` resolves. */
export function clockWithSleep(ms: number, until: () => Promise<unknown>): Clock {
  return {
    ...loopClock,
    sleep: async (each, signal) => {
      if (each !== ms) {
        await loopClock.sleep(each, signal)
        return
      }
      const aborted = new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reject(signal.reason as Error)
        })
      })
      await Promise.race([until(), aborted])
    },
  }
}

/** Waits until `holds`, for at most 30 seconds of {@link loopClock}. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = loopClock.monotonicMs() + 30_000
  while (!holds()) {
    if (loopClock.monotonicMs() > deadline) throw new Error(`never happened: ${what}`)
    await sleep(5)
  }
}
