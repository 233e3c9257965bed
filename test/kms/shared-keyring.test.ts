import test, { type ExecutionContext } from 'ava'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { createRandomPool } from '../../src/base/random.ts'
import { systemDisk } from '../../src/clients/disk.ts'
import { createKeyring } from '../../src/keyring/generations.ts'
import { Keyring } from '../../src/keyring/keyring.ts'
import { etcdLayout } from '../../src/keyring/stores/etcd-layout.ts'
import { etcdMembers } from '../../src/keyring/stores/etcd-members.ts'
import { etcdMembership } from '../../src/keyring/stores/etcd-membership.ts'
import { etcdStore } from '../../src/keyring/stores/etcd.ts'
import { copyStore } from '../../src/keyring/stores/keep-copy.ts'
import { activateKey, stageKey, type Transition } from '../../src/keyring/transitions.ts'
import type { KeyTrial } from '../../src/kms/self-test.ts'
import { tryKey } from '../../src/kms/self-test.ts'
import { fakeEtcd, type FakeEtcd } from '../support/fake-etcd.ts'
import { freshRoot } from '../support/kms-keyring.ts'
import { runningKms } from '../support/running-kms.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { until } from '../support/until.ts'

const random = createRandomPool()
const make = { random, now: () => Date.now() }
const prefix = '/latchkey'

/** A keyring in an etcd, and what an administrator does to it. */
async function shared() {
  const etcd = fakeEtcd()
  const root = freshRoot()
  const store = etcdStore({
    ...{ etcd: etcd.connect(), prefix, clock: systemClock },
    ...{ localCopy: undefined, membership: undefined },
  })
  const { bytes } = await createKeyring({ clusterId: 'test', roots: [root] }, make)
  await store.publish(bytes, { replaces: undefined })
  const change = async (transition: (current: Keyring) => Transition): Promise<string> => {
    const stored = await store.load()
    using current = await Keyring.open(stored?.bytes ?? new Uint8Array(), { roots: [root] })
    const { document, keyId } = transition(current)
    await store.publish(document.bytes, { replaces: stored?.revision })
    return keyId
  }
  return {
    etcd,
    root,
    stage: () => change((current) => stageKey(current, make)),
    activate: () => change((current) => activateKey(current, make)),
  }
}

async function startNode(
  t: ExecutionContext,
  of: { readonly etcd: FakeEtcd; readonly root: ReturnType<typeof freshRoot> },
  options: {
    readonly directory?: string
    readonly attempt?: KeyTrial
    readonly cut?: boolean
    readonly name?: string
  } = {},
) {
  const directory = options.directory ?? join(await temporaryDirectory(t), 'copy')
  const connection = of.etcd.connect()
  if (options.cut === true) connection.mode = 'cut'
  const name = options.name ?? 'cp-1'
  const keys = etcdLayout(prefix)
  const localCopy = copyStore(directory, {
    disk: systemDisk,
    random,
    uid: process.getuid?.() ?? 0,
  })
  const membership = etcdMembership({
    ...{ etcd: connection, keys, name, nodeId: name.padEnd(22, 'A') },
    ...{ clock: systemClock, random },
  })
  const store = etcdStore({
    ...{ etcd: connection, prefix, clock: systemClock, localCopy, membership, recheckMs: 100 },
  })
  const kms = await runningKms(t, {
    store,
    openRoots: async () => [of.root],
    attempt: options.attempt ?? tryKey(random),
  })
  const generation = async (): Promise<number> =>
    Number(/^latchkey_kms_keyring_generation (\d+)$/m.exec(await kms.get('/metrics'))?.[1])
  const finds = async (finding: string): Promise<boolean> =>
    (await kms.get('/metrics')).includes(`name="${finding}"`)
  const acknowledged = async (): Promise<number | undefined> => {
    const { members } = await etcdMembers({ etcd: of.etcd.connect(), keys }).list()
    return members.find((member) => member.name === name)?.acknowledged?.generation
  }
  const see = async (what: string, condition: () => Promise<boolean>): Promise<void> => {
    await until(t, condition, { what })
  }
  return { ...kms, connection, directory, localCopy, generation, finds, acknowledged, see }
}

test('what is published is served, kept on the node’s disk, and then acknowledged', async (t) => {
  const of = await shared()
  const node = await startNode(t, of)
  await node.see('generation 1', async () => (await node.acknowledged()) === 1)
  await of.stage()
  await node.see('generation 2', async () => (await node.acknowledged()) === 2)
  t.is(await node.generation(), 2)
  t.is(
    Buffer.from((await node.localCopy.load())?.bytes ?? []).toString(),
    of.etcd.get('/latchkey/keyring') ?? '?',
  )
  t.regex(await node.get('/metrics'), /^latchkey_kms_acknowledged_generation 2$/m)
  t.like(node.log.of('kms.member_joined'), [{ fields: { node: 'cp-1', how: 'joined' } }])
})

test('a staged key that fails on this node is served and not acknowledged, until it works', async (t) => {
  const of = await shared()
  let broken = ''
  const node = await startNode(t, of, {
    attempt: (keyring, keyId) => {
      if (keyring.find(keyId)?.state === 'staged' && broken !== 'mended') throw new Error('broken')
      tryKey(random)(keyring, keyId)
    },
  })
  await node.see('generation 1', async () => (await node.acknowledged()) === 1)
  await of.stage()
  await node.see('generation 2', async () => (await node.generation()) === 2)
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.is(await node.acknowledged(), 1)
  broken = 'mended'
  await of.activate()
  await node.see('generation 3', async () => (await node.acknowledged()) === 3)
})

test('cut off, it goes on serving, says so, and is confirmed when it is back', async (t) => {
  const of = await shared()
  const node = await startNode(t, of)
  await node.see('generation 1', async () => (await node.acknowledged()) === 1)
  node.connection.mode = 'cut'
  await node.see('the outage', async () => await node.finds('unconfirmed'))
  t.regex(await node.get('/readyz'), /^ok\ndegraded: unconfirmed/)
  await of.stage()
  t.is(await node.generation(), 1)
  node.connection.mode = 'up'
  await node.see('generation 2', async () => (await node.acknowledged()) === 2)
  t.false(await node.finds('unconfirmed'))
})

test('booted without etcd it serves its copy; a node that has none serves nothing', async (t) => {
  const of = await shared()
  const former = await startNode(t, of)
  await former.see('generation 1', async () => (await former.acknowledged()) === 1)
  await former.stop()
  const node = await startNode(t, of, { directory: former.directory, cut: true })
  t.is(await node.generation(), 1)
  t.true(await node.finds('unconfirmed'))
  t.like(node.log.of('kms.local_copy_served'), [{ fields: { generation: 1 } }])
  node.connection.mode = 'up'
  await node.see('confirmed', async () => !(await node.finds('unconfirmed')))
  t.is(node.log.of('kms.keyring_confirmed').length, 1)
  const stranger = await startNode(t, of, { cut: true, name: 'cp-2' })
  t.is(await stranger.generation(), 0)
  t.true(await stranger.finds('no-keyring'))
})

test('an etcd that is taken back is refused, running and booting, and nothing older is served', async (t) => {
  const of = await shared()
  const restore = of.etcd.save()
  const former = await startNode(t, of)
  await of.stage()
  await of.activate()
  await former.see('generation 3', async () => (await former.acknowledged()) === 3)
  restore()
  await former.see('the refusal', async () => await former.finds('keyring-refused'))
  t.is(await former.generation(), 3)
  await former.stop()
  const node = await startNode(t, of, { directory: former.directory })
  t.is(await node.generation(), 3)
  await node.see('the refusal', async () => await node.finds('keyring-refused'))
  t.is(node.log.of('kms.keyring_refused')[0]?.fields['serving'], 3)
})

test('a node whose record was removed while it was cut off joins again and loads what it missed', async (t) => {
  const of = await shared()
  const node = await startNode(t, of)
  await node.see('generation 1', async () => (await node.acknowledged()) === 1)
  node.connection.mode = 'cut'
  of.etcd.expire('/latchkey/alive/cp-1')
  await etcdMembers({ etcd: of.etcd.connect(), keys: etcdLayout(prefix) }).remove('cp-1')
  await of.stage()
  await of.activate()
  await node.see('that it cannot be told', async () => await node.finds('not-a-member'))
  node.connection.mode = 'up'
  await node.see('generation 3', async () => (await node.acknowledged()) === 3)
  t.false(await node.finds('not-a-member'))
})
