import { Metadata, status, type ServiceError } from '@grpc/grpc-js'
import test from 'ava'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import { until } from '../e2e/support/until.ts'
import { connectBroker, farewell, openStream, shows } from '../support/broker-client.ts'
import { startBroker, type TestBroker } from '../support/broker.ts'
import { FakeCluster } from '../support/fake-cluster.ts'
import { startFakeKubernetes } from '../support/fake-kubernetes.ts'
import type { ExecutionContext } from 'ava'

const soon = { timeoutMs: 40_000, everyMs: 5 }

async function open(
  t: ExecutionContext,
  flags: readonly string[] = [],
): Promise<{ readonly cluster: FakeCluster; readonly broker: TestBroker }> {
  const kubernetes = await startFakeKubernetes(t)
  const cluster = new FakeCluster(kubernetes)
  cluster.setSecret('db', { k: 'v' })
  cluster.grant('web', 'db')
  return { cluster, broker: await startBroker(t, { kubernetes, flags }) }
}

/** A connection over which nothing is asked, from another address than those of streams. */
async function idle(t: ExecutionContext, { host, port, ca }: TestBroker): Promise<TLSSocket> {
  const raw = connectTcp({ host, port, localAddress: '127.0.0.2' })
  const socket = connect({ socket: raw, host, ca, ALPNProtocols: ['h2'] })
  raw.on('error', () => undefined)
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  await once(socket, 'secureConnect')
  return socket.resume()
}

test.serial(
  'connections over which nothing is asked push out each other, and no stream',
  async (t) => {
    const { cluster, broker } = await open(t, ['--max-streams', '4'])
    const it = openStream(t, broker, { token: cluster.token(cluster.addPod()), references: ['db'] })
    await shows(t, it, 'db=READY k=v')
    const flood: TLSSocket[] = []
    for (let i = 0; i < 12; i += 1) flood.push(await idle(t, broker))
    await until(
      'most of them to go',
      () => flood.filter((each) => each.destroyed).length >= 8,
      soon,
    )
    t.is(it.ended(), undefined)
    const late = openStream(t, broker, {
      token: cluster.token(cluster.addPod()),
      references: ['db'],
    })
    await shows(t, late, 'db=READY k=v')
    cluster.setSecret('db', { k: 'w' })
    await shows(t, it, 'db=READY k=w')
  },
)

test.serial(
  'a connection whose stream is over is one of those over which nothing is asked',
  async (t) => {
    const { broker } = await open(t, ['--max-streams', '1'])
    const it = openStream(t, broker, { token: 'forged', references: ['db'] })
    t.is(await farewell(t, it), 'TOKEN_REFUSED UNAUTHENTICATED')
    // There is room for one, and nobody has more than one: the newcomer goes.
    const socket = await idle(t, broker)
    await until('it to go', () => socket.destroyed, soon)
    t.pass()
  },
)

for (const [what, message] of [
  ['messages that mean nothing', {}],
  ['newer tokens', { token_refresh: { token: Buffer.from('x') } }],
] as const) {
  test.serial(`a flood of ${what} ends the stream`, async (t) => {
    const { cluster, broker } = await open(t)
    const it = openStream(t, broker, { token: cluster.token(cluster.addPod()), references: ['db'] })
    await shows(t, it, 'db=READY k=v')
    for (let i = 0; i < 300; i += 1) it.send(message)
    t.is(await farewell(t, it), 'LIMIT RESOURCE_EXHAUSTED')
  })
}

test.serial(
  'questions about status with no good token are refused, and that is recorded, but not each',
  async (t) => {
    const { broker } = await open(t)
    const client = connectBroker(t, broker)
    const ask = (): Promise<number> =>
      new Promise((resolve) => {
        const metadata = new Metadata()
        metadata.set('authorization', 'Bearer forged')
        const call = client.DeliveryStatus({ namespace: 'shop', secret: 'db' }, metadata)
        call.on('error', ({ code }: ServiceError) => {
          resolve(code)
        })
        call.resume()
      })
    for (let i = 0; i < 20; i += 1) t.is(await ask(), status.UNAUTHENTICATED)
    const refused = async (): Promise<number> =>
      (await broker.audit()).filter(
        ({ event, why }) => event === 'status.refused' && why === 'ERR_TOKEN_REFUSED',
      ).length
    await until('the record', async () => (await refused()) > 0, soon)
    t.true((await refused()) < 20)
  },
)

test.serial(
  'a sidecar that starts again and again is let in, a flood of streams is not',
  async (t) => {
    const { cluster, broker } = await open(t)
    const token = cluster.token(cluster.addPod())
    for (let start = 0; start < 8; start += 1) {
      const it = openStream(t, broker, { token, references: ['db'] })
      await shows(t, it, 'db=READY k=v')
      it.cancel()
      await until('its end', () => it.ended() !== undefined, soon)
    }
    const instance = randomBytes(16)
    const flood = Array.from({ length: 40 }, () =>
      openStream(t, broker, { token, references: ['db'], instance }),
    )
    const refused = (): boolean => flood.some((it) => it.goodbye()?.reason === 'LIMIT')
    await until('the flood to be refused', refused, soon)
    t.pass()
  },
)
