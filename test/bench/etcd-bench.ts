import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { WireMessage } from '../../src/base/protobuf.ts'
import { binary } from '../e2e/support/binaries.ts'
import { startChild } from '../e2e/support/child.ts'
import { startEtcd, type Etcd } from '../e2e/support/etcd.ts'
import { saveSnapshot } from '../e2e/support/etcdctl.ts'
import type { Ground } from '../e2e/support/ground.ts'
import { median, printTable, quantile } from './figures.ts'

/** Options of {@link benchEtcd}. */
export interface EtcdBenchOptions {
  /** Launcher of one of our programs. */
  readonly program: (name: string) => string
  readonly secrets: number
  readonly rounds: number
}

const largeEvery = 200
const largeBytes = 500_000
const writers = 64

/**
 * Time and peak memory of `latchkey etcd scan`, of a snapshot and live, beside what etcd's own tool
 * takes to look into the same file: `etcdutl snapshot status` reads and hashes every record.
 */
export async function benchEtcd(ground: Ground, options: EtcdBenchOptions): Promise<void> {
  const etcd = await startEtcd(ground)
  const few = Math.ceil(options.secrets / 10)
  await fill(etcd, { from: 0, to: few })
  const small = await saveSnapshot(ground, etcd, 'few.db')
  await fill(etcd, { from: few, to: options.secrets })
  // A tenth is written again, so that there is a past.
  await fill(etcd, { from: 0, to: few })
  const snapshot = await saveSnapshot(ground, etcd, 'all.db')
  const latchkey = [options.program('latchkey'), 'etcd', 'scan', '-o', 'json']
  const { ca, cert, key } = etcd.clientFiles
  const live = ['--etcd', etcd.endpoints.join(','), '--etcd-ca', ca]
  const etcdutl = await binary('etcdutl')
  const node = process.execPath
  const runs: readonly Run[] = [
    { name: 'etcdutl snapshot status', command: etcdutl, args: ['snapshot', 'status', snapshot] },
    {
      name: 'latchkey etcd scan --snapshot',
      command: node,
      args: [...latchkey, '--snapshot', snapshot],
    },
    {
      name: 'latchkey etcd scan --etcd',
      command: node,
      args: [...latchkey, ...live, '--etcd-cert', cert, '--etcd-key', key],
    },
    {
      name: `… --snapshot, ${few} Secrets`,
      command: node,
      args: [...latchkey, '--snapshot', small],
    },
    { name: 'node, doing nothing', command: node, args: ['--eval', '0'] },
  ]
  const measured = new Map<string, Measured[]>(runs.map(({ name }) => [name, []]))
  for (let round = 0; round < options.rounds; round += 1) {
    for (const run of runs) measured.get(run.name)?.push(await measure(ground, run))
  }
  const seconds = (name: string): readonly number[] =>
    (measured.get(name) ?? []).map((it) => it.seconds)
  const yardstick = median(seconds('etcdutl snapshot status'))
  const { size } = await stat(snapshot)
  const large = Math.ceil(options.secrets / largeEvery)
  printTable(
    `scan of ${options.secrets} Secrets, ${large} of them of ${largeBytes} bytes; snapshot of ${(size / 1e6).toFixed(0)} MB; ${options.rounds} rounds`,
    [
      ['', 'median s', 'fastest s', '÷ etcdutl', 'peak RSS MB'],
      ...runs.map(({ name }) => [
        name,
        median(seconds(name)).toFixed(2),
        quantile(seconds(name), 0).toFixed(2),
        (median(seconds(name)) / yardstick).toFixed(2),
        Math.max(...(measured.get(name) ?? []).map((it) => it.peakMb)).toFixed(0),
      ]),
    ],
  )
}

interface Run {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
}

interface Measured {
  readonly seconds: number
  readonly peakMb: number
}

async function measure(ground: Ground, run: Run): Promise<Measured> {
  const begin = performance.now()
  const child = startChild(ground, { ...run, name: run.name.replaceAll(/\W+/g, '-') })
  let peakMb = 0
  // The kernel's own high-water mark, looked at often, as it goes with the process.
  const timer = setInterval(() => {
    peakMb = Math.max(peakMb, peakOf(child.pid))
  }, 3)
  const { code } = await child.exited
  const seconds = (performance.now() - begin) / 1000
  clearInterval(timer)
  if (code !== 0) throw new Error(`${run.name} ended with ${code ?? 'a signal'}: ${child.stderr()}`)
  return { seconds, peakMb }
}

function peakOf(pid: number): number {
  try {
    const kib = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return (Number(kib ?? 0) * 1024) / 1e6
  } catch {
    return 0
  }
}

/** Writes Secrets as an API server under KMS v2 would, straight into etcd. */
async function fill(
  etcd: Etcd,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<void> {
  let next = from
  const write = async (): Promise<void> => {
    for (let index = next++; index < to; index = next++) {
      const bytes = index % largeEvery === 0 ? largeBytes : 300 + (index % 1700)
      await etcd.client.put(
        `/registry/secrets/ns-${index % 50}/secret-${index}`,
        storedSecret(bytes),
      )
    }
  }
  await Promise.all(Array.from({ length: writers }, write))
}

const keyIds = ['lk1.1.AAAAAAAAAAAAAAAAAAAAAA', 'lk1.2.BBBBBBBBBBBBBBBBBBBBBA'] as const

function storedSecret(bytes: number): Buffer {
  const object = new WireMessage()
    .bytes(1, randomBytes(60 + bytes))
    .text(2, keyIds[bytes % 2] ?? keyIds[0])
    .bytes(3, randomBytes(73))
    .varint(5, 1)
  return Buffer.concat([Buffer.from('k8s:enc:kms:v2:latchkey:'), object.encode()])
}
