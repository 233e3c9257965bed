import test from 'ava'
import { join } from 'node:path'
import { systemClock } from '../../../src/base/clock.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import type { EtcdClient } from '../../../src/clients/etcd/client.ts'
import { parseEtcdFlags } from '../../../src/clients/etcd/flags.ts'
import { openEtcd, openEtcdClusters } from '../../../src/clients/etcd/open.ts'
import { binary } from '../support/binaries.ts'
import { startChild, type Child } from '../support/child.ts'
import { useGround } from '../support/ground.ts'
import { until } from '../support/until.ts'

// Which members are of one cluster is decided before anything is proved of what they hold.

const ground = useGround(test)
const deps = { clock: systemClock, random: createRandomPool() }

/** An etcd of one member on plain loopback, which others know by `peer`. */
async function start(name: string, host: string, peer: string): Promise<Child> {
  const [listen, client] = [`http://${host}:2380`, `http://${host}:2379`]
  const child = startChild(ground, {
    name,
    command: await binary('etcd'),
    args: [
      ...['--name=default', `--data-dir=${join(ground.dir, name)}`, '--log-level=warn'],
      ...[`--listen-client-urls=${client}`, `--advertise-client-urls=${client}`],
      ...[`--listen-peer-urls=${listen}`, `--initial-advertise-peer-urls=${peer}`],
      ...[`--initial-cluster=default=${peer}`],
    ],
  })
  const [access] = parseEtcdFlags({ etcd: [client] }, '/')
  if (access === undefined) throw new RangeError('no access')
  using opened = await openEtcd(access, deps)
  await until('etcd to answer', async () => (await opened.put('/is', Buffer.from(name))) > 0, {
    timeoutMs: 30_000,
  })
  return child
}

const [main, events, twin] = [1, 2, 3].map((n) => ground.host(n)) as [string, string, string]
const url = (host: string): string => `http://${host}:2379`
let first: Child
let second: Child

async function open(...etcd: readonly string[]): Promise<readonly EtcdClient[]> {
  const clients = await openEtcdClusters(parseEtcdFlags({ etcd }, '/'), deps)
  for (const client of clients) {
    ground.defer('client', () => {
      client.close()
    })
  }
  return clients
}

async function openOne(etcd: string): Promise<EtcdClient> {
  const [client] = await open(etcd)
  if (client === undefined) throw new RangeError('no client')
  return client
}

test.before(
  'an etcd, another, and one that was set up with the very flags of the first',
  async () => {
    first = await start('main', main, `http://${main}:2380`)
    second = await start('events', events, `http://${events}:2380`)
    await start('twin', twin, `http://${main}:2380`)
  },
)

test.serial('two clusters are two, and one that is named twice is one', async (t) => {
  t.is((await open(url(main), url(events))).length, 2)
  t.is((await open(url(main), url(main))).length, 1)
})

test.serial(
  'members of two clusters under one --etcd would be read in part, and are refused',
  async (t) => {
    await t.throwsAsync(open(`${url(main)},${url(events)}`), {
      code: 'ERR_USAGE',
      message: new RegExp(`${main}.*${events}.*different clusters`),
    })
  },
)

test.serial('an etcd with the ids of another is not taken for it', async (t) => {
  using one = await openOne(url(main))
  using other = await openOne(url(twin))
  t.is(await one.clusterId(), await other.clusterId())
  await t.throwsAsync(open(url(main), url(twin)), {
    code: 'ERR_USAGE',
    message: /cannot be told apart/,
  })
})

test.serial('a member of another cluster that answers amid a range ends the reading', async (t) => {
  using other = await openOne(url(events))
  // Ahead, so that it would have something to say at any revision of the other.
  for (let n = 0; n < 300; n += 1) await other.put('/ahead', Buffer.from('x'))
  await second.stop()
  // It is away while the clusters are told apart.
  const client = await openOne(`${url(main)},${url(events)}`)
  for (let n = 0; n < 120; n += 1) await client.put(`/many/${n}`, Buffer.from('x'))
  await start('events', events, `http://${events}:2380`)
  const reading = async (): Promise<void> => {
    let pages = 0
    for await (const page of client.pages(Buffer.of(0), { rangeEnd: Buffer.of(0) })) {
      t.true(page.entries.length > 0)
      pages += 1
      if (pages === 1) await first.stop()
    }
  }
  await t.throwsAsync(reading(), { code: 'ERR_USAGE', message: /different clusters/ })
})
