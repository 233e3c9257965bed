import test from 'ava'
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ControlPlanes, startControlPlanes } from '../support/control-planes.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { describeLoad, startLoad } from '../support/load.ts'
import { readStoredObject } from '../support/stored-object.ts'
import { until } from '../support/until.ts'
import { shake, type Victim } from './shaken.ts'

// Three control planes, each with its own plugin and its own copy of the keyring, on one etcd of
// three members, rotated again and again while clients work and things are killed.

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'default')
const value = Buffer.from('written under the first key').toString('base64')
/** Rounds of killing; more of them with `LATCHKEY_E2E_ROUNDS`. */
const rounds = Number(process.env['LATCHKEY_E2E_ROUNDS'] ?? 4)

let cluster: ControlPlanes
/** Every key id that was ever seen. */
const everSeen = new Set<string>()

interface Listed {
  readonly id: string
  readonly state: string
}

test.before(async () => {
  cluster = await startControlPlanes(ground, { flags: ['--request-timeout=5s'] })
  const [first] = cluster.nodes
  for (let count = 0; count < 30; count += 1) {
    await first?.server.admin.create(secrets, {
      metadata: { name: `old-${count}` },
      data: { value },
    })
  }
  for (const { id } of await keys()) everSeen.add(id)
})

async function keys(): Promise<readonly Listed[]> {
  const { code, stdout, stderr } = await cluster.latchkey([
    ...['keys', 'list', ...cluster.keyring, '-o', 'json'],
  ])
  if (code !== 0) throw new Error(stderr)
  return (JSON.parse(stdout) as { keys: readonly Listed[] }).keys
}

const active = async (): Promise<string> =>
  (await keys()).find(({ state }) => state === 'active')?.id ?? ''

const rotate = (...more: readonly string[]): readonly string[] => [
  ...['keys', 'rotate', ...cluster.keyring, ...cluster.etcdFlags.filter(notTls), '--yes'],
  ...['--kubeconfig', cluster.nodes[0]?.server.kubeconfig ?? '', '--request-timeout', '5', ...more],
]

/** One set of TLS files is for the keyring and for the API servers' etcd. */
function notTls(_flag: string, index: number, all: readonly string[]): boolean {
  return (
    !/^--etcd-(?:ca|cert|key)$/.test(all[index] ?? '') &&
    !/^--etcd-(?:ca|cert|key)$/.test(all[index - 1] ?? '')
  )
}

/** The keys under which etcd holds anything. */
async function keysInEtcd(): Promise<readonly string[]> {
  const values = [
    ...(await cluster.etcd.client.list('/registry/secrets/')),
    ...(await cluster.etcd.client.list('/registry/configmaps/')),
  ]
  return [...new Set(values.map(({ value: raw }) => readStoredObject(raw)?.keyId ?? 'plain'))]
}

/**
 * What failed because of encryption, of all that failed. A write that a killed server did not answer
 * may have been made or not, so what is read after it says nothing; without such a write it must be
 * what was written. Nor does a plugin that was not there to be asked.
 */
function byEncryption(failures: readonly string[]): readonly string[] {
  const unanswered = failures.some((text) => text.startsWith('writes:'))
  const away =
    /code = DeadlineExceeded|code = Unavailable desc = (?:connection error|error reading)/
  return failures.filter(
    (text) =>
      (/decrypt|encrypt|DEK|kms/i.test(text) && !away.test(text)) ||
      (!unanswered && /another value|missing in the list/.test(text)),
  )
}

test.serial(
  'rotations follow one another under a load from several clients: nothing fails',
  async (t) => {
    const loads = cluster.nodes.map(({ name, server }) =>
      startLoad(t, server.admin, { name: `by-${name}`, workers: 2 }),
    )
    const began = performance.now()
    const watched = new Set<string>()
    const stop = new AbortController()
    const [first, second] = cluster.nodes
    const { metadata } = (await second?.server.admin.list(secrets)) ?? {
      metadata: { resourceVersion: '0' },
    }
    const watching = (async () => {
      const events = second?.server.admin.watch(secrets, {
        resourceVersion: metadata.resourceVersion,
        signal: stop.signal,
      })
      for await (const { type } of events ?? []) watched.add(type)
    })()
    for (let round = 0; round < 2; round += 1) {
      const former = await active()
      const ran = await cluster.latchkey(rotate(), { timeoutMs: 300_000 })
      t.is(ran.code, 0, ran.stderr)
      const now = ran.stdout.trim()
      t.log(`round ${round}: ${((performance.now() - began) / 1000).toFixed(1)} s\n${ran.stderr}`)
      t.false(everSeen.has(now), 'a key id was used twice')
      everSeen.add(now)
      t.deepEqual(await keysInEtcd(), [now])
      t.is((await keys()).find(({ id }) => id === former)?.state, 'retired')
    }
    stop.abort()
    await watching
    t.true(watched.has('ADDED') && watched.has('MODIFIED') && watched.has('DELETED'))
    t.false(watched.has('ERROR'))
    for (const load of loads) {
      const report = await load.stop()
      t.log(describeLoad(report, (performance.now() - began) / 1000))
      t.deepEqual(report.failures, [])
    }
    t.truthy(first)
  },
)

test.serial(
  'whatever is killed at whatever moment, the rotation goes on and nothing is lost',
  async (t) => {
    const victims: readonly Victim[] = ['command', 'plugin', 'API server', 'etcd member']
    const loads = cluster.nodes.map(({ name, server }) =>
      startLoad(t, server.admin, { name: `shaken-${name}`, workers: 1 }),
    )
    for (let round = 0; round < rounds; round += 1) {
      const victim = victims[round % victims.length] ?? 'command'
      const former = await active()
      const command = await cluster.startLatchkey(`rotate-${round}`, rotate())
      await sleep(randomInt(500, 12_000))
      const shaken = await shake(cluster, victim, command)
      const exit = await command.exited
      t.log(
        `round ${round}: ${shaken} was killed; the command ended with ${exit.code ?? exit.signal}`,
      )
      if (exit.code !== 0) {
        const again = await cluster.latchkey(rotate(), { timeoutMs: 300_000 })
        t.is(again.code, 0, `${command.stderr()}\n${again.stderr}`)
      }
      const now = await active()
      t.not(now, former)
      const list = await keys()
      t.is(list.filter(({ state }) => state === 'staged').length, 0)
      t.is(new Set(list.map(({ id }) => id)).size, list.length)
      t.false(everSeen.has(now), 'a key id was used twice')
      for (const { id } of list) everSeen.add(id)
      for (const { server } of cluster.nodes) {
        await until(
          'every old object',
          async () => {
            const { items } = await server.admin.list(secrets)
            return (
              items.filter(
                ({ metadata, ...rest }) =>
                  metadata.name.startsWith('old-') &&
                  (rest['data'] as { value: string }).value === data(),
              ).length === 30
            )
          },
          { timeoutMs: 60_000, everyMs: 500 },
        )
      }
    }
    for (const load of loads) {
      const report = await load.stop()
      t.log(describeLoad(report, 1))
      t.deepEqual(byEncryption(report.failures), [])
    }
    t.deepEqual(await keysInEtcd(), [await active()])
  },
)

const data = (): string => value

/** Whether a node's sign of life is there. */
async function isAlive(name: string): Promise<boolean | undefined> {
  const keyring = cluster.keyring.filter(
    (_, at, all) => !all.slice(at - 1, at + 1).includes('--root'),
  )
  const { code, stdout, stderr } = await cluster.latchkey([
    'keys',
    'nodes',
    '-o',
    'json',
    ...keyring,
  ])
  if (code !== 0) throw new Error(stderr)
  const { nodes } = JSON.parse(stdout) as { nodes: readonly { name: string; alive: boolean }[] }
  return nodes.find((each) => each.name === name)?.alive
}

test.serial(
  'a member that does not acknowledge blocks activation, also when its lease is gone',
  async (t) => {
    const [, , third] = cluster.nodes
    if (third === undefined) throw new Error('three nodes')
    const before = await active()
    await third.plugin.stop('at once')
    const ran = await cluster.latchkey(rotate('--timeout', '15'), { timeoutMs: 300_000 })
    t.is(ran.code, 3, ran.stderr)
    t.regex(ran.stderr, /the new key is not everywhere: cp-3 has acknowledged/)
    t.is(await active(), before)
    // Its sign of life runs out, and it still blocks.
    await until('the third to be held for gone', async () => !(await isAlive('cp-3')), {
      timeoutMs: 60_000,
      everyMs: 500,
    })
    const again = await cluster.latchkey(rotate('--timeout', '2'), { timeoutMs: 300_000 })
    t.is(again.code, 3, again.stderr)
    t.regex(again.stderr, /cp-3 .*is not heard of/)
    t.is(await active(), before)
    await third.plugin.start()
    const done = await cluster.latchkey(rotate(), { timeoutMs: 300_000 })
    t.is(done.code, 0, done.stderr)
  },
)

test.serial('after destroy every API server is restarted, and everything is listed', async (t) => {
  const retired = (await keys()).filter(({ state }) => state === 'retired').map(({ id }) => id)
  const without = await cluster.latchkey([
    'keys',
    'destroy',
    retired[0] ?? '',
    ...cluster.keyring,
    '--yes',
  ])
  t.is(without.code, 3, without.stderr)
  for (const id of retired) {
    const ran = await cluster.latchkey([
      ...['keys', 'destroy', id, ...cluster.keyring, ...cluster.etcdFlags.filter(notTls)],
      ...['--compact', '--yes'],
    ])
    t.is(ran.code, 0, ran.stderr)
  }
  for (const { server } of cluster.nodes) {
    await server.stop()
    await server.start()
    const { items } = await server.admin.list(secrets)
    t.is(items.filter(({ metadata }) => metadata.name.startsWith('old-')).length, 30)
  }
})
