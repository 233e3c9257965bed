import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { startApiServer, type ApiServer } from '../e2e/support/api-server.ts'
import { createClusterIdentity } from '../e2e/support/cluster-identity.ts'
import {
  identityProvider,
  kmsProvider,
  writeEncryptionConfig,
  type Provider,
} from '../e2e/support/encryption-config.ts'
import { startEtcd } from '../e2e/support/etcd.ts'
import type { Ground } from '../e2e/support/ground.ts'
import { collection, type Kubernetes } from '../e2e/support/kubernetes.ts'
import { interval, median, printTable, showInterval } from './figures.ts'

/** One API server and the provider it encrypts with. */
interface Contender {
  readonly name: string
  readonly server: ApiServer
}

const operations = ['create', 'get', 'list'] as const
type Operation = (typeof operations)[number]
type Speeds = Record<Operation, number>

const inFlight = 16
// A round of each operation takes about as long as any other's: short ones are all noise.
const getsPerObject = 5
const listsPerRound = 150
const secrets = collection('v1', 'secrets', 'default')
const value = Buffer.alloc(1024, 'x').toString('base64')

/**
 * Whole requests through API servers that differ in their encryption provider alone, on one etcd,
 * in interleaved rounds whose order turns, so that the machine's drift falls on all alike.
 */
export async function benchApiServer(
  ground: Ground,
  options: { readonly socket: string; readonly rounds: number; readonly objects: number },
): Promise<void> {
  const identity = await createClusterIdentity(ground)
  const etcd = await startEtcd(ground)
  const providers: Record<string, Provider> = {
    identity: identityProvider,
    secretbox: {
      secretbox: { keys: [{ name: 'k', secret: Buffer.alloc(32, 1).toString('base64') }] },
    },
    latchkey: kmsProvider(options.socket),
  }
  const contenders: Contender[] = []
  for (const [index, [name, provider]] of Object.entries(providers).entries()) {
    const dir = join(ground.dir, name)
    await mkdir(dir)
    const encryptionConfig = join(dir, 'encryption.yaml')
    await writeEncryptionConfig(encryptionConfig, [
      { resources: ['secrets'], providers: [provider] },
    ])
    const server = await startApiServer(ground, {
      etcd,
      identity,
      encryptionConfig,
      number: index + 1,
      flags: [`--etcd-prefix=/${name}`],
    })
    contenders.push({ name, server })
  }
  const speeds = new Map<string, Speeds[]>(contenders.map(({ name }) => [name, []]))
  for (const { server } of contenders) await round(server.admin, 'warm', options.objects)
  for (let number = 0; number < options.rounds; number += 1) {
    const shift = number % contenders.length
    for (const { name, server } of [...contenders.slice(shift), ...contenders.slice(0, shift)]) {
      speeds.get(name)?.push(await round(server.admin, `r${number}`, options.objects))
    }
  }
  report(speeds, options)
  await benchStart(contenders)
}

async function round(api: Kubernetes, prefix: string, objects: number): Promise<Speeds> {
  const names = Array.from({ length: objects }, (_, index) => `${prefix}-${index}`)
  const create = await timed(names, async (name) => {
    await api.create(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name },
      data: { value },
    })
  })
  const gets = Array.from({ length: getsPerObject }, () => names).flat()
  const get = await timed(gets, async (name) => {
    await api.get(secrets, name)
  })
  const lists = Array.from({ length: listsPerRound }, String)
  // A resource version of 0 would be answered from the watch cache, which never decrypts.
  const list = await timed(lists, async () => {
    await api.list(secrets, { limit: String(objects) })
  })
  await timed(names, (name) => api.delete(secrets, name))
  return { create, get, list: list * objects }
}

/** Calls per second. */
async function timed(
  names: readonly string[],
  call: (name: string) => Promise<void>,
): Promise<number> {
  const queue = [...names]
  const begin = performance.now()
  const worker = async (): Promise<void> => {
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) await call(name)
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  return (names.length / (performance.now() - begin)) * 1000
}

function report(
  speeds: ReadonlyMap<string, readonly Speeds[]>,
  options: { readonly rounds: number; readonly objects: number },
): void {
  const of = (name: string, operation: Operation): readonly number[] =>
    (speeds.get(name) ?? []).map((speed) => speed[operation])
  const ratios = (name: string, base: string, operation: Operation): string => {
    const bases = of(base, operation)
    return showInterval(
      interval(of(name, operation).map((speed, index) => speed / (bases[index] ?? Number.NaN))),
    )
  }
  printTable(
    `API server, Secrets of 1 KiB, ${inFlight} in flight, ${options.rounds} interleaved rounds of ${options.objects} (list: objects a second)`,
    [
      [
        '',
        'identity/s',
        'secretbox/s',
        'latchkey/s',
        'latchkey ÷ secretbox',
        'latchkey ÷ identity',
      ],
      ...operations.map((operation) => [
        operation,
        ...['identity', 'secretbox', 'latchkey'].map((name) =>
          median(of(name, operation)).toFixed(0),
        ),
        ratios('latchkey', 'secretbox', operation),
        ratios('latchkey', 'identity', operation),
      ]),
    ],
  )
}

const startObjects = 2000
const starts = 3

/** Restarts each API server on 2,000 encrypted Secrets and takes the time until it is ready. */
async function benchStart(contenders: readonly Contender[]): Promise<void> {
  const names = Array.from({ length: startObjects }, (_, index) => `kept-${index}`)
  for (const { server } of contenders) {
    await timed(names, async (name) => {
      const metadata = { name }
      const secret = { apiVersion: 'v1', kind: 'Secret', metadata, data: { value } }
      await server.admin.create(secrets, secret)
    })
    await server.stop()
  }
  const seconds = new Map<string, number[]>(contenders.map(({ name }) => [name, []]))
  for (let start = 0; start < starts; start += 1) {
    for (const { name, server } of contenders) {
      const begin = performance.now()
      await server.start()
      seconds.get(name)?.push((performance.now() - begin) / 1000)
      await server.stop()
    }
  }
  printTable(
    `API server, exec to ready on ${startObjects} encrypted Secrets, median of ${starts}`,
    [
      ['', 'seconds'],
      ...contenders.map(({ name }) => [name, median(seconds.get(name) ?? []).toFixed(2)]),
    ],
  )
}
