import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Ground } from '../e2e/support/ground.ts'
import { median, printTable } from './figures.ts'
import { connectLoad, type KmsLoad, type LoadResult } from './kms-load.ts'
import type { Contender } from './programs.ts'

const methods = ['Status', 'Encrypt', 'Decrypt'] as const
const concurrencies = [1, 64] as const

interface Running {
  readonly name: string
  readonly load: KmsLoad
  readonly pid: number
  readonly requests: Readonly<Record<(typeof methods)[number], object>>
}

/** Latency, throughput and server CPU of each method, contenders in turn, `rounds` times. */
export async function benchRpc(
  ground: Ground,
  options: {
    readonly contenders: readonly Contender[]
    readonly rounds: number
    readonly calls: number
  },
): Promise<void> {
  const running: Running[] = []
  for (const contender of options.contenders) running.push(await start(ground, contender))
  for (const inFlight of concurrencies) {
    const calls = inFlight === 1 ? Math.ceil(options.calls / 4) : options.calls
    for (const method of methods) {
      const results = new Map<string, LoadResult[]>(running.map(({ name }) => [name, []]))
      for (let round = 0; round < options.rounds + 1; round += 1) {
        for (const { name, load, pid, requests } of running) {
          const result = await load.run({
            method,
            request: requests[method],
            calls,
            inFlight,
            pid,
          })
          if (round > 0) results.get(name)?.push(result)
        }
      }
      report(`${method}, ${inFlight} in flight, ${options.rounds} rounds of ${calls}`, results)
    }
  }
  for (const { load } of running) load.close()
}

async function start(ground: Ground, contender: Contender): Promise<Running> {
  const socket = join(ground.dir, `${contender.name}.sock`)
  const { pid } = contender.start(socket)
  const load = await connectLoad(socket)
  const plaintext = randomBytes(32)
  const uid = crypto.randomUUID()
  const { ciphertext, keyId } = await load.once('Encrypt', { plaintext, uid })
  const requests = {
    Status: {},
    Encrypt: { plaintext, uid },
    Decrypt: { ciphertext, keyId, uid, annotations: {} },
  }
  return { name: contender.name, load, pid, requests }
}

function report(title: string, results: ReadonlyMap<string, readonly LoadResult[]>): void {
  const middle = (name: string, figure: keyof LoadResult): number =>
    median((results.get(name) ?? []).map((result) => result[figure]))
  const base = middle('do-nothing', 'cpuUs')
  printTable(title, [
    ['', 'calls/s', 'p50 µs', 'p99 µs', 'server CPU µs/call', '÷ do-nothing'],
    ...[...results.keys()].map((name) => [
      name,
      middle(name, 'perSecond').toFixed(0),
      middle(name, 'p50Us').toFixed(0),
      middle(name, 'p99Us').toFixed(0),
      middle(name, 'cpuUs').toFixed(0),
      (middle(name, 'cpuUs') / base).toFixed(2),
    ]),
  ])
}
