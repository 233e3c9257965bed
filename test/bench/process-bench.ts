import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Ground } from '../e2e/support/ground.ts'
import { median, printTable, quantile } from './figures.ts'
import { connectLoad } from './kms-load.ts'
import type { Contender } from './programs.ts'
import { usageOf } from './process-usage.ts'

/** Time from exec to the first answered Status, contenders in turn. */
export async function benchStart(
  ground: Ground,
  options: { readonly contenders: readonly Contender[]; readonly rounds: number },
): Promise<void> {
  const times = new Map<string, number[]>(options.contenders.map(({ name }) => [name, []]))
  for (let round = 0; round < options.rounds; round += 1) {
    for (const contender of options.contenders) {
      const socket = join(ground.dir, `start-${round}-${contender.name}.sock`)
      const begin = performance.now()
      const child = contender.start(socket)
      const load = await connectLoad(socket)
      await load.once('Status', {})
      times.get(contender.name)?.push(performance.now() - begin)
      load.close()
      await child.stop()
    }
  }
  const middle = (name: string): number => median(times.get(name) ?? [])
  printTable(`exec to first answered Status, bundled, compile cache, ${options.rounds} rounds`, [
    ['', 'median ms', 'fastest ms', '÷ do-nothing'],
    ...[...times].map(([name, all]) => [
      name,
      middle(name).toFixed(0),
      quantile(all, 0).toFixed(0),
      (middle(name) / middle('do-nothing')).toFixed(2),
    ]),
  ])
}

/** Memory at rest and under `calls` Encrypt calls, then under as many again. */
export async function benchMemory(
  ground: Ground,
  options: { readonly contenders: readonly Contender[]; readonly calls: number },
): Promise<void> {
  const rows: string[][] = []
  for (const contender of options.contenders) {
    const socket = join(ground.dir, `memory-${contender.name}.sock`)
    const child = contender.start(socket)
    const load = await connectLoad(socket)
    await load.once('Status', {})
    await settle()
    const idle = usageOf(child.pid)
    const request = { plaintext: randomBytes(32), uid: crypto.randomUUID() }
    const run = { method: 'Encrypt', request, calls: options.calls, inFlight: 64, pid: child.pid }
    await load.run(run)
    const first = usageOf(child.pid)
    await load.run(run)
    const second = usageOf(child.pid)
    rows.push(
      [contender.name, idle.anonMb, idle.rssMb, first.rssMb, second.rssMb].map((cell) =>
        typeof cell === 'string' ? cell : cell.toFixed(1),
      ),
    )
    load.close()
    await child.stop()
  }
  printTable(`memory in MB; ${options.calls} Encrypt calls, 64 in flight, twice`, [
    ['', 'private, idle', 'RSS, idle', 'RSS after the first', 'RSS after the second'],
    ...rows,
  ])
}

/** Long enough for start-up garbage to be collected by the idle-time collector. */
async function settle(): Promise<void> {
  await new Promise((done) => setTimeout(done, 3000))
}
