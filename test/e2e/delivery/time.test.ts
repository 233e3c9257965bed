import test from 'ava'
import { setTimeout as sleep } from 'node:timers/promises'
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
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { shortToken } from '../support/short-token.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const soon = { timeoutMs: 30_000, everyMs: 20 }
const secrets = collection('v1', 'secrets', 'shop')
const whole = '- secret: db\n  path: /etc/db/\n'
const account = 'web'

let cluster: EncryptedCluster
let shop: Shop
let broker: RunningBroker

test.before(async () => {
  cluster = await startEncryptedCluster(ground)
  const kubeconfig = await installDelivery(ground, cluster)
  shop = await createShop(cluster, 'shop')
  broker = await startBroker(ground, { name: 'broker', host: ground.host(10), kubeconfig })
  await shop.owner.create(secrets, { metadata: { name: 'db' }, stringData: { a: '0', b: '0' } })
  await shop.grant('db')
})

async function sidecar(
  name: string,
  options: { readonly token?: string; readonly flags?: readonly string[] } = {},
): Promise<RunningSidecar> {
  const token = options.token ?? (await shop.token(name))
  const { flags = [] } = options
  return await startSidecar(ground, { name, broker, token, secrets: whole, flags })
}

async function shows(it: RunningSidecar, expected: string | undefined): Promise<void> {
  await until(
    `${it.child.name} to show ${expected ?? 'nothing'}`,
    async () => (await it.read('/etc/db/a')) === expected,
    { timeoutMs: 60_000, everyMs: 20 },
  )
}

/** Details of what the audit has about a pod, in order. */
async function audited(pod: string, event: string): Promise<readonly unknown[]> {
  return (await broker.audit())
    .filter((line) => line['event'] === event)
    .filter(({ who }) => (who as { pod?: string } | undefined)?.pod === pod)
    .map(({ detail }) => detail)
}

async function metric(at: string, name: string): Promise<number> {
  const text = await (await fetch(`http://${at}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
}

test.serial(
  'a token that ends ends its stream, unless a newer one came; the files stay either way',
  async (t) => {
    await shop.pod('lapsed')
    await shop.pod('renewed')
    const short = (name: string): ReturnType<typeof shortToken> =>
      shortToken(
        { namespace: 'shop', account, name },
        { ...cluster, admin: cluster.server.admin, audience: 'latchkey', seconds: 15 },
      )
    const [first, second] = [await short('lapsed'), await short('renewed')]
    const lapsed = await sidecar('lapsed', { token: first.token })
    const renewed = await sidecar('renewed', { token: second.token })
    await shows(lapsed, '0')
    await shows(renewed, '0')
    await renewed.writeToken(await shop.token('renewed'))
    await until(
      'the end of the token',
      async () => (await audited('lapsed', 'stream.end')).length > 0,
      { timeoutMs: 150_000, everyMs: 50 },
    )
    const lateMs = Date.now() - first.expiresAtMs
    t.deepEqual(await audited('lapsed', 'stream.end'), ['token-expired'])
    t.log(`the stream ended ${(lateMs / 1_000).toFixed(1)} s after its token`)
    // The API server itself takes a token for a minute longer (the leeway of go-jose's jwt.Validate);
    // after that, ours is to notice within ten seconds.
    t.true(lateMs >= 0 && lateMs < 120_000, `${lateMs}`)
    const refused = async (): Promise<boolean> =>
      (await broker.audit()).some(
        ({ event, why }) => event === 'stream.refused' && why === 'ERR_TOKEN_REFUSED',
      )
    await until('the refusal of the old token', refused, soon)
    t.is(await lapsed.read('/etc/db/a'), '0')

    t.is((await audited('renewed', 'token.refreshed')).length, 1)
    t.is((await audited('renewed', 'stream.open')).length, 1)
    t.deepEqual(await audited('renewed', 'stream.end'), [])
    await shop.owner.patch(secrets, 'db', { stringData: { a: '1', b: '1' } })
    await shows(renewed, '1')
    t.is(await lapsed.read('/etc/db/a'), '0')

    await lapsed.writeToken(await shop.token('lapsed'))
    await shows(lapsed, '1')
    await lapsed.child.stop()
    await renewed.child.stop()
  },
)

test.serial(
  'the API server is away for a minute: files stay, staleness shows, and all mends itself',
  async (t) => {
    const pages = { kept: `${ground.host(20)}:9464`, strict: `${ground.host(21)}:9464` }
    for (const name of ['kept', 'strict', 'waiting']) await shop.pod(name)
    const waitingToken = await shop.token('waiting')
    const kept = await sidecar('kept', { flags: ['--metrics', pages.kept] })
    const limit = ['--max-stale', '30s', '--on-stale', 'remove']
    const strict = await sidecar('strict', { flags: ['--metrics', pages.strict, ...limit] })
    await shows(kept, '1')
    await shows(strict, '1')
    await until(
      'nothing to be stale',
      async () => (await metric(`${ground.host(10)}:9464`, 'latchkey_broker_stale_streams')) === 0,
      soon,
    )

    await cluster.server.stop('at once')
    const downAtMs = performance.now()
    const waiting = await sidecar('waiting', { token: waitingToken })
    await until(
      'the broker to say that it is blind',
      async () => (await metric(`${ground.host(10)}:9464`, 'latchkey_broker_stale_streams')) === 2,
      soon,
    )
    await until(
      'the sidecar to say so',
      async () => (await metric(pages.kept, 'latchkey_sidecar_stale_seconds')) > 5,
      soon,
    )
    // Whoever would rather have nothing than something old has said so.
    await shows(strict, undefined)
    const goneAfterMs = performance.now() - downAtMs
    // It counts from when the broker last heard of the API server, which is a while before.
    t.true(goneAfterMs > 15_000, `${goneAfterMs}`)
    await sleep(Math.max(0, 60_000 - (performance.now() - downAtMs)))
    t.is(await kept.read('/etc/db/a'), '1')
    t.is(await waiting.read('/etc/db/a'), undefined)
    t.true(waiting.child.running())
    t.true((await metric(pages.kept, 'latchkey_sidecar_stale_seconds')) > 30)
    t.deepEqual(await audited('kept', 'stream.end'), [])

    await cluster.server.start()
    const upAtMs = performance.now()
    await shop.owner.patch(secrets, 'db', { stringData: { a: '2', b: '2' } })
    for (const it of [kept, strict, waiting]) await shows(it, '2')
    t.log(
      `all had a change ${((performance.now() - upAtMs) / 1_000).toFixed(1)} s after the return`,
    )
    await until(
      'staleness to end',
      async () =>
        (await metric(pages.kept, 'latchkey_sidecar_stale_seconds')) === 0 &&
        (await metric(`${ground.host(10)}:9464`, 'latchkey_broker_stale_streams')) === 0,
      { timeoutMs: 90_000, everyMs: 100 },
    )
    t.deepEqual(await audited('kept', 'stream.end'), [])
    t.is((await audited('kept', 'stream.open')).length, 1)
    for (const it of [kept, strict, waiting]) await it.child.stop()
  },
)
