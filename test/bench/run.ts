import { join } from 'node:path'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { benchAdmission } from './admission-bench.ts'
import { benchApiServer } from './api-server-bench.ts'
import { withGround } from './bench-ground.ts'
import { benchDelivery } from './delivery-bench.ts'
import { benchEtcd } from './etcd-bench.ts'
import { connectLoad } from './kms-load.ts'
import { benchMemory, benchStart } from './process-bench.ts'
import { benchMigrate } from './migrate-bench.ts'
import { buildContenders, buildPrograms } from './programs.ts'
import { benchRpc } from './rpc-bench.ts'

// npm run bench [-- --only rpc,start,memory,api-server,delivery,etcd,migrate,admission] [--quick]
// [--objects 20000] [--rounds 2]: size of the section migrate
//
// Prints tables. Figures are of this machine in this run: compare the columns with each other, not
// with another run.

const sections = [
  'rpc',
  'start',
  'memory',
  'api-server',
  'delivery',
  'etcd',
  'migrate',
  'admission',
] as const
const { values } = parseArgs({
  options: {
    only: { type: 'string', default: sections.join(',') },
    quick: { type: 'boolean', default: false },
    objects: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '2' },
  },
})
const wanted = new Set(values.only.split(','))
for (const name of wanted) {
  if (!sections.some((section) => section === name)) {
    console.error(`there is no section ${name}: use some of ${sections.join(', ')}`)
    process.exit(2)
  }
}

const [cpu] = cpus()
console.log(`Node.js ${process.versions.node}, ${cpus().length} × ${cpu?.model ?? 'unknown CPU'}`)
await withGround(async (ground) => {
  const program = await buildPrograms(ground)
  if (wanted.has('delivery')) {
    await benchDelivery(ground, {
      program,
      pods: values.quick ? [1, 50] : [1, 100, 1000, 5000],
      changes: values.quick ? 3 : 20,
      updates: values.quick ? 20 : 1000,
      starts: values.quick ? 2 : 10,
    })
  }
  if (wanted.has('etcd')) {
    await benchEtcd(ground, {
      program,
      secrets: values.quick ? 2000 : 20_000,
      rounds: values.quick ? 2 : 7,
    })
  }
  if (wanted.has('migrate')) {
    await benchMigrate(ground, {
      program,
      objects: values.quick ? 1000 : Number(values.objects),
      rounds: values.quick ? 1 : Number(values.rounds),
    })
  }
  if (wanted.has('admission')) {
    const kept = await benchAdmission(ground, {
      program,
      rounds: values.quick ? 1 : 5,
      calls: values.quick ? 300 : 2000,
    })
    if (!kept) process.exitCode = 1
  }
  const atRest = sections.slice(0, 4).some((section) => wanted.has(section))
  const contenders = atRest ? await buildContenders(ground, program) : []
  if (wanted.has('rpc')) {
    await benchRpc(ground, {
      contenders,
      rounds: values.quick ? 2 : 7,
      calls: values.quick ? 2000 : 20_000,
    })
  }
  if (wanted.has('start')) {
    await benchStart(ground, { contenders, rounds: values.quick ? 3 : 15 })
  }
  if (wanted.has('memory')) {
    await benchMemory(ground, { contenders, calls: values.quick ? 20_000 : 1_000_000 })
  }
  if (wanted.has('api-server')) {
    const socket = join(ground.dir, 'api.sock')
    contenders.find(({ name }) => name === 'latchkey-kms')?.start(socket)
    const load = await connectLoad(socket)
    await load.once('Status', {})
    load.close()
    await benchApiServer(ground, {
      socket,
      rounds: values.quick ? 2 : 20,
      objects: values.quick ? 100 : 300,
    })
  }
})
