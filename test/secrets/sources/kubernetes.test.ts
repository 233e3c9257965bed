import test, { type ExecutionContext } from 'ava'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../../src/base/clock.ts'
import { createKubernetesClient } from '../../../src/clients/kubernetes.ts'
import { kubernetesSource } from '../../../src/secrets/sources/kubernetes.ts'
import type { SecretSource } from '../../../src/secrets/source.ts'
import { shown, testSecretSource } from '../../contract/secret-source.ts'
import { until } from '../../e2e/support/until.ts'
import { startFakeKubernetes, type FakeKubernetes } from '../../support/fake-kubernetes.ts'

const db = { namespace: 'shop', name: 'db' }
const path = '/api/v1/namespaces/shop/secrets'
const soon = { timeoutMs: 30_000, everyMs: 5 }

function secret(
  name: string,
  values: Readonly<Record<string, string>>,
): { metadata: { name: string }; data: Record<string, string> } {
  const data = Object.entries(values).map(([k, v]) => [k, Buffer.from(v).toString('base64')])
  return { metadata: { name }, data: Object.fromEntries(data) as Record<string, string> }
}

async function open(
  t: ExecutionContext,
  options: { readonly lingerMs?: number } = {},
): Promise<{ readonly fake: FakeKubernetes; readonly source: SecretSource }> {
  const fake = await startFakeKubernetes(t)
  const client = createKubernetesClient(fake.access, { clock: systemClock })
  const source = kubernetesSource({
    client,
    clock: systemClock,
    random: Math.random,
    onProblem: () => undefined,
    lingerMs: options.lingerMs ?? 1_000,
  })
  t.teardown(async () => {
    await source.close()
    client.close()
  })
  return { fake, source }
}

testSecretSource(test, async (t) => {
  const { fake, source } = await open(t)
  return {
    source,
    patienceMs: 30_000,
    put: async ({ namespace, name }, values) => {
      fake.put(`/api/v1/namespaces/${namespace}/secrets`, secret(name, values))
    },
    remove: async ({ namespace, name }) => {
      fake.remove(`/api/v1/namespaces/${namespace}/secrets`, name)
    },
    breakOff: () => fake.stop(),
    mend: () => fake.start(),
  }
})

test.serial(
  'a hundred followers in a namespace share one watch, and one reading per secret',
  async (t) => {
    const { fake, source } = await open(t)
    for (const name of ['a', 'b']) fake.put(path, secret(name, { k: name }))
    const followed = Array.from({ length: 100 }, (_, i) =>
      source.follow({ namespace: 'shop', name: i % 2 === 0 ? 'a' : 'b' }, () => undefined),
    )
    await until(
      'all',
      () => followed.every((it) => it.current()?.state === 'present' && it.staleMs() === 0),
      soon,
    )
    t.deepEqual(fake.watches, [path])
    // One reading when it is first followed, and one when the watch has begun.
    t.true(fake.asked('GET', `${path}/a`).length <= 2)
    for (const it of followed) it[Symbol.dispose]()
  },
)

test('data of secrets that nobody follows is never asked for', async (t) => {
  const { fake, source } = await open(t)
  fake.put(path, secret('db', { k: 'v' }))
  fake.put(path, secret('bystander', { k: 'hidden' }))
  using it = source.follow(db, () => undefined)
  await until('db', () => it.staleMs() === 0, soon)
  fake.put(path, secret('bystander', { k: 'hidden too' }))
  fake.put(path, secret('db', { k: 'w' }))
  await until('the change', () => JSON.stringify(shown(it)) === '{"k":"w"}', soon)
  t.deepEqual(fake.asked('GET', '/bystander'), [])
  for (const { query } of fake.asked('GET', path)) t.not(query.get('watch'), 'false')
})

test('a watch that the server ends goes on where it was, without a list', async (t) => {
  const { fake, source } = await open(t)
  fake.put(path, secret('db', { k: '1' }))
  using it = source.follow(db, () => undefined)
  await until('live', () => it.staleMs() === 0, soon)
  const lists = (): number =>
    fake.seen.filter((r) => r.path === path && !r.query.has('watch')).length
  const before = lists()
  await sleep(1_050)
  fake.endWatches()
  fake.put(path, secret('db', { k: '2' }))
  await until('the change', () => JSON.stringify(shown(it)) === '{"k":"2"}', soon)
  t.is(lists(), before)
})

test('when the server has forgotten the place, everything is read anew and nothing is taken for absent', async (t) => {
  const { fake, source } = await open(t)
  fake.put(path, secret('db', { k: '1' }))
  const seen: unknown[] = []
  using it = source.follow(db, () => {
    seen.push(shown(it))
  })
  await until('live', () => it.staleMs() === 0, soon)
  await fake.stop()
  fake.put(path, secret('db', { k: '2' }))
  fake.compact()
  await fake.start()
  await until('the change', () => JSON.stringify(shown(it)) === '{"k":"2"}', soon)
  t.deepEqual(seen, [{ k: '1' }, { k: '2' }])
})

test('errors of the server are an outage, never an absence, and are reported', async (t) => {
  const { fake, source } = await open(t)
  fake.put(path, secret('db', { k: '1' }))
  fake.fault = ({ path: asked }) => (asked.endsWith('/db') ? 403 : undefined)
  using it = source.follow(db, () => undefined)
  await sleep(200)
  t.is(shown(it), 'unknown')
  t.is(it.staleMs(), Infinity)
  fake.fault = () => undefined
  await until('db', () => it.staleMs() === 0, soon)
  fake.fault = ({ path: asked }) => (asked.endsWith('/db') ? 500 : undefined)
  fake.put(path, secret('db', { k: '2' }))
  await until('the age to grow', () => it.staleMs() > 0, soon)
  t.deepEqual(shown(it), { k: '1' })
  fake.fault = () => undefined
  await until('the change', () => JSON.stringify(shown(it)) === '{"k":"2"}', soon)
})

test('a 404 of what stands before the server, and a 200 that is no Secret, take nothing away', async (t) => {
  const { fake, source } = await open(t)
  fake.put(path, secret('db', { k: '1' }))
  using it = source.follow(db, () => undefined)
  await until('live', () => it.staleMs() === 0, soon)
  fake.stray = ({ path: asked }) => asked.endsWith('/db')
  fake.put(path, secret('db', { k: '2' }))
  await until('the age to grow', () => it.staleMs() > 0, soon)
  t.deepEqual(shown(it), { k: '1' })
  fake.stray = () => false
  await until('the change', () => JSON.stringify(shown(it)) === '{"k":"2"}', soon)
  fake.fault = ({ path: asked }) => (asked.endsWith('/db') ? 200 : undefined)
  fake.put(path, secret('db', { k: '3' }))
  await until('the age to grow', () => it.staleMs() > 0, soon)
  t.deepEqual(shown(it), { k: '2' })
  fake.fault = () => undefined
  fake.remove(path, 'db')
  await until('the removal', () => shown(it) === 'absent', soon)
})

test.serial('a thousand secrets written again without a change are told to nobody', async (t) => {
  const { fake, source } = await open(t)
  const names = Array.from({ length: 1_000 }, (_, i) => `s${i}`)
  for (const name of names) fake.put(path, secret(name, { k: name }))
  let told = 0
  const followed = names.map((name) =>
    source.follow({ namespace: 'shop', name }, () => (told += 1)),
  )
  await until(
    'all',
    () => followed.every((it) => it.current() !== undefined && it.staleMs() === 0),
    { timeoutMs: 30_000 },
  )
  t.is(told, 1_000)
  const before = fake.asked('GET', `${path}/`).length
  for (const name of names) fake.put(path, secret(name, { k: name }))
  await until('the readings', () => fake.asked('GET', `${path}/`).length >= before + 1_000, {
    timeoutMs: 30_000,
  })
  fake.put(path, secret('s999', { k: 'changed' }))
  await until('the marker', () => told > 1_000, soon)
  t.is(told, 1_001)
})

test('a namespace that nobody follows any more is let go after a while, and found again', async (t) => {
  const { fake, source } = await open(t, { lingerMs: 50 })
  fake.put(path, secret('db', { k: '1' }))
  const it = source.follow(db, () => undefined)
  await until('live', () => it.staleMs() === 0, soon)
  it[Symbol.dispose]()
  t.deepEqual(fake.watches, [path])
  await until('the watch to end', () => fake.watches.length === 0, soon)
  using again = source.follow(db, () => undefined)
  await until('live', () => again.staleMs() === 0, soon)
  t.deepEqual(shown(again), { k: '1' })
})
