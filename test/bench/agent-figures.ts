import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Child } from '../e2e/support/child.ts'
import { median, printTable, quantile } from './figures.ts'
import { usageOf, type Usage } from './process-usage.ts'

/** What one agent in a pod costs. */
export interface AgentFigures extends UpdateFigures {
  readonly name: string
  /** Exec to file, each start. */
  readonly startMs: readonly number[]
  readonly idle: Usage
}

/** What updates cost an agent. */
export interface UpdateFigures {
  /** Write answered to file, each update. */
  readonly updateMs: readonly number[]
  /** The most private memory seen at the end of an update. */
  readonly mostAnonMb: number
  readonly afterUpdates: Usage
  /** 15 seconds after the last update. */
  readonly later: Usage
}

/** Prints agents side by side. */
export function reportAgents(agents: readonly AgentFigures[]): void {
  const row = (title: string, cell: (agent: AgentFigures) => number): string[] => [
    title,
    ...agents.map((agent) => cell(agent).toFixed(1)),
  ]
  printTable('one agent in one pod, the same secret to the same kind of file', [
    ['', ...agents.map(({ name }) => name)],
    row('exec to file, median ms', ({ startMs }) => median(startMs)),
    row('exec to file, slowest ms', ({ startMs }) => quantile(startMs, 1)),
    row('write answered to file, median ms', ({ updateMs }) => median(updateMs)),
    row('write answered to file, p99 ms', ({ updateMs }) => quantile(updateMs, 0.99)),
    row('private memory idle, MB', ({ idle }) => idle.anonMb),
    row('updates', ({ updateMs }) => updateMs.length),
    row('private memory during the updates, most, MB', ({ mostAnonMb }) => mostAnonMb),
    row('private memory after the updates, MB', ({ afterUpdates }) => afterUpdates.anonMb),
    row('private memory 15 s later, MB', ({ later }) => later.anonMb),
    row('RSS idle, MB', ({ idle }) => idle.rssMb),
    row('RSS after the updates, MB', ({ afterUpdates }) => afterUpdates.rssMb),
    row('RSS 15 s later, MB', ({ later }) => later.rssMb),
  ])
}

/** Starts an agent and resolves when `file` holds `value`; the time goes to `times`. */
export async function timeStart(
  agent: { readonly start: () => Promise<Child>; readonly file: string; readonly value: string },
  times: number[],
): Promise<Child> {
  const begin = performance.now()
  const child = await agent.start()
  await holds(agent.file, agent.value)
  times.push(performance.now() - begin)
  return child
}

/** Changes the secret `count` times, waiting each time until `file` has the new value. */
export async function measureUpdates(
  agent: Child,
  options: {
    readonly count: number
    readonly file: string
    /** Resolves with the moment of the answer. */
    readonly write: (value: string) => Promise<number>
  },
): Promise<UpdateFigures> {
  const updateMs: number[] = []
  let mostAnonMb = 0
  for (let update = 0; update < options.count; update += 1) {
    const value = `update-${update}`
    const answered = await options.write(value)
    await holds(options.file, value)
    updateMs.push(performance.now() - answered)
    mostAnonMb = Math.max(mostAnonMb, usageOf(agent.pid).anonMb)
  }
  const afterUpdates = usageOf(agent.pid)
  await settle(15_000)
  return { updateMs, mostAnonMb, afterUpdates, later: usageOf(agent.pid) }
}

/** By default long enough for start-up garbage to be collected by the idle-time collector. */
export async function settle(ms = 5000): Promise<void> {
  await new Promise((done) => setTimeout(done, ms))
}

/** Resolves when `file` holds `value`; looks about every millisecond. */
export async function holds(file: string, value: string): Promise<void> {
  const deadline = performance.now() + 30_000
  for (;;) {
    try {
      if (readFileSync(file, 'utf8') === value) return
    } catch {
      // Not there yet.
    }
    if (performance.now() > deadline) throw new Error(`${file} did not get its value`)
    await new Promise((done) => setTimeout(done, 1))
  }
}

/** A port of 127.0.0.1 that nothing listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((up) => server.listen(0, '127.0.0.1', up))
  const address = server.address()
  await new Promise((closed) => server.close(closed))
  if (address === null || typeof address === 'string') throw new TypeError('not a TCP address')
  return address.port
}
