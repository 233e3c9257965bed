import test, { type ExecutionContext } from 'ava'
import { once } from 'node:events'
import { readFileSync, realpathSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { dirname } from 'node:path'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { systemCode } from '../../../src/base/errors.ts'
import { openStream, type TestStream } from '../../support/broker-client.ts'
import { createAuthority } from '../support/authority.ts'
import {
  createShop,
  installDelivery,
  type RunningBroker,
  type RunningSidecar,
  type Shop,
  startBroker,
  startSidecar,
} from '../support/delivery.ts'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { type Ground, useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'shop')
const whole = '- secret: db\n  path: /etc/db/\n'
const sidecarCount = 8
const streamCount = 500

let cluster: EncryptedCluster
let shop: Shop
let brokers: readonly RunningBroker[]
let service: string
let tokens: readonly string[]

test.before(async () => {
  cluster = await startEncryptedCluster(ground)
  const kubeconfig = await installDelivery(ground, cluster)
  shop = await createShop(cluster, 'shop')
  const authority = await createAuthority('latchkey')
  const common = { kubeconfig, authority, hosts: [ground.host(9), 'localhost'] }
  brokers = [
    await startBroker(ground, { name: 'broker-a', host: ground.host(10), ...common }),
    await startBroker(ground, { name: 'broker-b', host: ground.host(11), ...common }),
  ]
  service = await startService(
    ground,
    brokers.map(({ address }) => address),
  )
  await shop.owner.create(secrets, { metadata: { name: 'db' }, stringData: { a: '0', b: '0' } })
  await shop.grantAll()
  tokens = await inShares(
    Array.from({ length: streamCount + sidecarCount + 1 }, (_, i) => `web-${i}`),
    async (name) => {
      await shop.pod(name)
      return await shop.token(name)
    },
  )
})

/** What a Service is to its clients: connections go round, and not to those that refuse them. */
async function startService(at: Ground, addresses: readonly string[]): Promise<string> {
  let next = 0
  const server = createServer((client) => {
    client.on('error', () => undefined)
    const attempt = (left: number): void => {
      const [host = '', port] = (addresses[next++ % addresses.length] ?? '').split(':')
      const upstream = connect({ host, port: Number(port) })
      upstream.once('connect', () => {
        client.pipe(upstream).pipe(client)
        client.once('close', () => upstream.destroy())
        upstream.once('close', () => client.destroy())
      })
      upstream.on('error', () => {
        if (upstream.bytesRead === 0 && left > 0) attempt(left - 1)
        else client.destroy()
      })
    }
    attempt(addresses.length)
  })
  server.listen(8443, at.host(9))
  await once(server, 'listening')
  at.defer('the Service', () => {
    server.close()
  })
  return `${at.host(9)}:8443`
}

async function inShares<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let at = 0; at < items.length; at += 16) {
    results.push(...(await Promise.all(items.slice(at, at + 16).map(work))))
  }
  return results
}

function sidecar(name: string, token: string): Promise<RunningSidecar> {
  const broker = { address: service, ca: brokers[0]?.ca ?? '' }
  return startSidecar(ground, { name, broker, token, secrets: whole })
}

/** A stream that, as a sidecar does, comes back when it is cut off. */
function lastingStream(
  t: ExecutionContext,
  options: {
    readonly token: string
    readonly references: readonly string[]
    readonly address: () => string
  },
): { readonly shown: () => string; readonly sets: () => number } {
  const ca = readFileSync(brokers[0]?.ca ?? '', 'utf8')
  const opened: TestStream[] = []
  const open = (): void => {
    const [host = '', port] = options.address().split(':')
    opened.push(openStream(t, { host, port: Number(port), ca }, options))
  }
  open()
  const timer = setInterval(
    () => {
      if (opened.at(-1)?.ended() !== undefined) open()
    },
    300 + 700 * Math.random(),
  )
  t.teardown(() => {
    clearInterval(timer)
  })
  return {
    shown: () => opened.at(-1)?.shown() ?? '',
    sets: () => opened.reduce((sum, { sets }) => sum + sets.length, 0),
  }
}

test.serial(
  'a set of two keys is never seen mixed, in 10,000 readings during 1,000 changes',
  async (t) => {
    const it = await sidecar('mixed', tokens.at(-1) ?? '')
    await until('the files', async () => (await it.read('/etc/db/a')) === '0', {
      timeoutMs: 20_000,
    })
    const state = { writing: true }
    const writer = (async () => {
      for (let n = 1; n <= 1_000; n += 1) {
        await shop.owner.patch(secrets, 'db', { stringData: { a: String(n), b: String(n) } })
      }
      state.writing = false
    })()
    const seen = new Set<string>()
    let readings = 0
    while (state.writing || readings < 10_000) {
      let a, b
      try {
        const generation = dirname(realpathSync(it.path('/etc/db/a')))
        ;[a, b] = ['a', 'b'].map((key) => readFileSync(`${generation}/${key}`, 'utf8'))
      } catch (error) {
        // So many changes went by since the link was read that this generation is gone: look again.
        if (systemCode(error) !== 'ENOENT') throw error
        await turn()
        continue
      }
      if (a !== b) t.fail(`${a ?? ''} beside ${b ?? ''}`)
      seen.add(a ?? '')
      readings += 1
      if (readings % 10 === 0) await turn()
    }
    await writer
    await until('the last change', async () => (await it.read('/etc/db/a')) === '1000', {
      timeoutMs: 20_000,
    })
    t.log(`${readings} readings saw ${seen.size} of 1,000 changes`)
    t.true(readings >= 10_000 && seen.size > 10)
    await it.child.stop()
  },
)

test.serial(
  'of two brokers one is killed among 500 streams: all are back, and no file was lost',
  async (t) => {
    const sidecars = await inShares(tokens.slice(0, sidecarCount), (token) =>
      sidecar(`kill-${tokens.indexOf(token)}`, token),
    )
    const streams = tokens
      .slice(sidecarCount, streamCount)
      .map((token) => lastingStream(t, { token, references: ['db'], address: () => service }))
    const all = async (expected: string): Promise<boolean> => {
      const files = await Promise.all(sidecars.map((it) => it.read('/etc/db/a')))
      const shown = `db=READY a=${expected} b=${expected}`
      return files.every((it) => it === expected) && streams.every((it) => it.shown() === shown)
    }
    await until('everybody', () => all('1000'), { timeoutMs: 60_000 })
    let missing = 0
    const watch = setInterval(() => {
      for (const it of sidecars) {
        try {
          if (readFileSync(it.path('/etc/db/a'), 'utf8') === '') missing += 1
        } catch {
          missing += 1
        }
      }
    }, 10)
    const killedAtMs = performance.now()
    await brokers[0]?.child.kill()
    await sleep(100)
    await shop.owner.patch(secrets, 'db', { stringData: { a: 'after', b: 'after' } })
    await until('everybody again', () => all('after'), { timeoutMs: 90_000 })
    clearInterval(watch)
    t.log(
      `all ${streamCount} had the change ${((performance.now() - killedAtMs) / 1000).toFixed(1)} s after the kill`,
    )
    t.is(missing, 0)
    for (const it of sidecars) await it.child.stop()
  },
)

test.serial(
  'a thousand Secrets written again without a change publish nothing to 500 streams',
  async (t) => {
    const names = Array.from({ length: 1_000 }, (_, i) => `s${i}`)
    await inShares(names, (name) =>
      shop.owner.create(secrets, { metadata: { name }, stringData: { k: name } }),
    )
    const address = brokers[1]?.address ?? ''
    const streams = tokens.slice(0, streamCount).map((token, i) =>
      lastingStream(t, {
        token,
        references: [`s${2 * i}`, `s${2 * i + 1}`],
        address: () => address,
      }),
    )
    await until(
      'everybody',
      () =>
        streams.every(
          (it, i) =>
            it.shown() === `s${2 * i}=READY k=s${2 * i}, s${2 * i + 1}=READY k=s${2 * i + 1}`,
        ),
      { timeoutMs: 90_000 },
    )
    const sets = (): number => streams.reduce((sum, it) => sum + it.sets(), 0)
    const before = sets()
    await inShares(names, (name) =>
      shop.owner.patch(secrets, name, { metadata: { annotations: { touched: 'yes' } } }),
    )
    await shop.owner.patch(secrets, 's0', { stringData: { k: 'marker' } })
    await until('the marker', () => streams[0]?.shown().includes('k=marker') === true, {
      timeoutMs: 30_000,
    })
    await sleep(1_000)
    t.is(sets(), before + 1)
  },
)
