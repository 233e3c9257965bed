import { join } from 'node:path'
import { cpus } from 'node:os'
import { benchAdmission } from './admission-bench.ts'
import { benchApiServer } from './api-server-bench.ts'
import { withGround } from './bench-ground.ts'
import { benchDelivery } from './delivery-bench.ts'
import { benchEtcd } from './etcd-bench.ts'
import { connectLoad } from './kms-load.ts'
import { benchMemory, benchStart } from './process-bench.ts'
import { benchMigrate } from './migrate-bench.ts'
import { readBenchOptions, sections, usage, type BenchOptions } from './options.ts'
import { buildContenders, buildPrograms } from './programs.ts'
import { benchRpc } from './rpc-bench.ts'

// npm run bench [-- --help]

const options = optionsOf(process.argv.slice(2))
const { wanted } = options

const [cpu] = cpus()
console.log(`Node.js ${process.versions.node}, ${cpus().length} × ${cpu?.model ?? 'unknown CPU'}`)
await withGround(async (ground) => {
  const program = await buildPrograms(ground)
  if (wanted.has('delivery')) {
    await benchDelivery(ground, {
      program,
      pods: options.quick ? [1, 50] : [1, 100, 1000, 5000],
      changes: options.quick ? 3 : 20,
      updates: options.quick ? 20 : 1000,
      starts: options.quick ? 2 : 10,
    })
  }
  if (wanted.has('etcd')) {
    await benchEtcd(ground, {
      program,
      secrets: options.quick ? 2000 : 20_000,
      rounds: options.quick ? 2 : 7,
    })
  }
  if (wanted.has('migrate')) {
    await benchMigrate(ground, {
      program,
      objects: options.quick ? 1000 : options.objects,
      rounds: options.quick ? 1 : options.rounds,
    })
  }
  if (wanted.has('admission')) {
    const kept = await benchAdmission(ground, {
      program,
      rounds: options.quick ? 1 : 5,
      calls: options.quick ? 300 : 2000,
    })
    if (!kept) process.exitCode = 1
  }
  const atRest = sections.slice(0, 4).some((section) => wanted.has(section))
  const contenders = atRest ? await buildContenders(ground, program) : []
  if (wanted.has('rpc')) {
    await benchRpc(ground, {
      contenders,
      rounds: options.quick ? 2 : 7,
      calls: options.quick ? 2000 : 20_000,
    })
  }
  if (wanted.has('start')) {
    await benchStart(ground, { contenders, rounds: options.quick ? 3 : 15 })
  }
  if (wanted.has('memory')) {
    await benchMemory(ground, { contenders, calls: options.quick ? 20_000 : 1_000_000 })
  }
  if (wanted.has('api-server')) {
    const socket = join(ground.dir, 'api.sock')
    contenders.find(({ name }) => name === 'latchkey-kms')?.start(socket)
    const load = await connectLoad(socket)
    await load.once('Status', {})
    load.close()
    await benchApiServer(ground, {
      socket,
      rounds: options.quick ? 2 : 20,
      objects: options.quick ? 100 : 300,
    })
  }
})

function optionsOf(args: readonly string[]): BenchOptions {
  try {
    const read = readBenchOptions(args)
    if (read !== undefined) return read
    console.log(usage)
    process.exit(0)
  } catch (error) {
    console.error(`bench: ${error instanceof Error ? error.message : 'wrong options'}\n\n${usage}`)
    process.exit(2)
  }
}
