import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../../src/base/clock.ts'
import { isLatchkeyError } from '../../../src/base/errors.ts'
import type { EtcdMembership } from '../../../src/keyring/stores/etcd-membership.ts'
import { etcdMembership } from '../../../src/keyring/stores/etcd-membership.ts'
import { etcdLayout } from '../../../src/keyring/stores/etcd-layout.ts'
import { etcdMembers } from '../../../src/keyring/stores/etcd-members.ts'
import { missingAcknowledgements, type Member } from '../../../src/keyring/members.ts'
import { fakeEtcd, type FakeConnection, type FakeEtcd } from '../../support/fake-etcd.ts'
import { deps } from '../../support/keyrings.ts'
import { until } from '../../support/until.ts'

const keys = etcdLayout('/latchkey')
const one = { generation: 1, digest: `sha256:${'1'.repeat(64)}` }
const two = { generation: 2, digest: `sha256:${'2'.repeat(64)}` }

interface Node {
  readonly membership: EtcdMembership
  readonly connection: FakeConnection
  readonly events: string[]
  readonly stop: () => Promise<void>
}

function startNode(
  t: ExecutionContext,
  etcd: FakeEtcd,
  name: string,
  nodeId = name,
  connection = etcd.connect(),
): Node {
  const id = nodeId.padEnd(22, 'A')
  const membership = etcdMembership({
    ...{ etcd: connection, keys, name, nodeId: id },
    ...{ clock: systemClock, random: deps.random },
  })
  const events: string[] = []
  const stop = new AbortController()
  const running = membership.run(stop.signal, {
    joined: (how) => events.push(how),
    acknowledged: ({ generation }) => events.push(`acknowledged ${generation}`),
    problem: (error) => events.push(isLatchkeyError(error) ? error.code : String(error)),
  })
  const end = async (): Promise<void> => {
    stop.abort()
    await running
  }
  t.teardown(end)
  return { membership, connection, events, stop: end }
}

const list = async (etcd: FakeEtcd): Promise<readonly Member[]> =>
  (await etcdMembers({ etcd: etcd.connect(), keys }).list()).members

const saw = async (t: ExecutionContext, node: Node, event: string): Promise<void> => {
  await until(t, () => node.events.includes(event), { what: event })
}

test('a node joins, gives signs of life, and tells what it serves', async (t) => {
  const etcd = fakeEtcd()
  const node = startNode(t, etcd, 'cp-1')
  await saw(t, node, 'joined')
  t.like(await list(etcd), [{ name: 'cp-1', alive: true, acknowledged: undefined }])
  node.membership.acknowledge(one)
  await saw(t, node, 'acknowledged 1')
  node.membership.acknowledge(two)
  await saw(t, node, 'acknowledged 2')
  const { bootId } = node.membership
  t.like(await list(etcd), [{ alive: true, acknowledged: { ...two, bootId } }])
})

test('a node that stops is not alive, and stays a member with what it has said', async (t) => {
  const etcd = fakeEtcd()
  const node = startNode(t, etcd, 'cp-1')
  node.membership.acknowledge(one)
  await saw(t, node, 'acknowledged 1')
  await node.stop()
  t.like(await list(etcd), [{ name: 'cp-1', alive: false, acknowledged: one }])
})

test('a sign of life that has run out is given again, and the record never went', async (t) => {
  const etcd = fakeEtcd()
  const node = startNode(t, etcd, 'cp-1')
  await saw(t, node, 'joined')
  etcd.expire('/latchkey/alive/cp-1')
  await until(t, async () => (await list(etcd))[0]?.alive === true, { what: 'alive again' })
  t.is((await list(etcd)).length, 1)
})

test('a node that starts again is the same member, with another boot id', async (t) => {
  const etcd = fakeEtcd()
  const former = startNode(t, etcd, 'cp-1')
  former.membership.acknowledge(one)
  await saw(t, former, 'acknowledged 1')
  const [before] = await list(etcd)
  const node = startNode(t, etcd, 'cp-1')
  node.membership.acknowledge(one)
  await saw(t, node, 'acknowledged 1')
  const [after] = await list(etcd)
  t.is(after?.joinedAt, before?.joinedAt)
  t.is(after?.acknowledged?.bootId, node.membership.bootId)
  t.not(after?.acknowledged?.bootId, former.membership.bootId)
})

test('two nodes of one name: the second is refused as long as the first lives, then takes over', async (t) => {
  const etcd = fakeEtcd()
  const first = startNode(t, etcd, 'cp-1', 'first')
  first.membership.acknowledge(one)
  await saw(t, first, 'acknowledged 1')
  const second = startNode(t, etcd, 'cp-1', 'second')
  await saw(t, second, 'ERR_MEMBER_TAKEN')
  await t.throwsAsync(second.membership.join(), { code: 'ERR_MEMBER_TAKEN' })
  t.like(await list(etcd), [{ acknowledged: one }])
  await first.stop()
  await saw(t, second, 'joined')
  t.is(
    (await list(etcd))[0]?.acknowledged,
    undefined,
    'what the first said is not the second’s word',
  )
})

test('a record that was removed while the node was cut off is made anew, and the node told so', async (t) => {
  const etcd = fakeEtcd()
  const node = startNode(t, etcd, 'cp-1')
  node.membership.acknowledge(one)
  await saw(t, node, 'acknowledged 1')
  const members = etcdMembers({ etcd: etcd.connect(), keys })
  await t.throwsAsync(members.remove('cp-1'), { code: 'ERR_MEMBER_ALIVE' })
  node.connection.mode = 'cut'
  etcd.expire('/latchkey/alive/cp-1')
  await members.remove('cp-1')
  t.deepEqual(await list(etcd), [])
  node.membership.acknowledge(two)
  await saw(t, node, 'ERR_ETCD_UNAVAILABLE')
  node.connection.mode = 'up'
  await saw(t, node, 'rejoined')
  await saw(t, node, 'acknowledged 2')
  t.like(await list(etcd), [{ name: 'cp-1', alive: true, acknowledged: two }])
})

test('a node whose record is removed amid its work acknowledges nothing until it is a member again', async (t) => {
  const etcd = fakeEtcd()
  const connection = etcd.connect()
  const { grantLease } = connection
  let leases = 0
  connection.grantLease = async (...args) => {
    leases += 1
    // It had looked, and is about to give a sign of life.
    if (leases === 2) {
      await etcdMembers({ etcd: etcd.connect(), keys }).remove('cp-1')
      node.membership.acknowledge(two)
    }
    return await grantLease(...args)
  }
  const node = startNode(t, etcd, 'cp-1', 'cp-1', connection)
  node.membership.acknowledge(one)
  await saw(t, node, 'acknowledged 1')
  etcd.expire('/latchkey/alive/cp-1')
  await saw(t, node, 'acknowledged 2')
  const [member] = await list(etcd)
  t.like(member, { alive: true, acknowledged: two })
  t.deepEqual(node.events, ['joined', 'acknowledged 1', 'rejoined', 'acknowledged 2'])
})

test('after a restore of etcd the node says again what it serves', async (t) => {
  const etcd = fakeEtcd()
  const node = startNode(t, etcd, 'cp-1')
  node.membership.acknowledge(one)
  await saw(t, node, 'acknowledged 1')
  const restore = etcd.save()
  node.membership.acknowledge(two)
  await saw(t, node, 'acknowledged 2')
  restore()
  t.like(await list(etcd), [{ acknowledged: one }])
  node.events.length = 0
  node.membership.acknowledge(two)
  await saw(t, node, 'acknowledged 2')
  t.like(await list(etcd), [{ acknowledged: two }])
})

test('who is not there cannot be removed', async (t) => {
  const etcd = fakeEtcd()
  const members = etcdMembers({ etcd: etcd.connect(), keys })
  await t.throwsAsync(members.remove('cp-9'), { code: 'ERR_MEMBER_NOT_FOUND' })
})

for (const [what, key, value] of [
  ['a member that is none', '/latchkey/members/cp-1', '{}'],
  ['a member of a later format', '/latchkey/members/cp-1', '{"format":2}'],
  ['a member that is no JSON', '/latchkey/members/cp-1', 'x'],
] as const) {
  test(`${what} is told, can be removed, and is nobody’s`, async (t) => {
    const etcd = fakeEtcd()
    etcd.put(key, value)
    const members = etcdMembers({ etcd: etcd.connect(), keys })
    await t.throwsAsync(members.list(), { code: 'ERR_MEMBER_INVALID', message: /cp-1/ })
    const node = startNode(t, etcd, 'cp-1')
    await saw(t, node, 'ERR_MEMBER_INVALID')
    await node.stop()
    await members.remove('cp-1')
    t.deepEqual(await list(etcd), [])
  })
}

test('an acknowledgement that is none is told, and its node writes a new one', async (t) => {
  const etcd = fakeEtcd()
  const node = startNode(t, etcd, 'cp-1')
  await saw(t, node, 'joined')
  etcd.put('/latchkey/acknowledged/cp-1', '{"format":1,"generation":0}')
  await t.throwsAsync(list(etcd), { code: 'ERR_MEMBER_INVALID' })
  node.membership.acknowledge(one)
  await saw(t, node, 'acknowledged 1')
  t.like(await list(etcd), [{ acknowledged: one }])
})

test('only the very document counts as acknowledged', (t) => {
  const member = (name: string, digest?: string): Member => ({
    name,
    joinedAt: '2026-01-02T03:04:05Z',
    alive: true,
    acknowledged:
      digest === undefined
        ? undefined
        : { bootId: 'B'.repeat(22), generation: 9, digest, at: '2026-01-02T03:04:05Z' },
  })
  const missing = missingAcknowledgements(
    [member('a', one.digest), member('b', two.digest), member('c')],
    one.digest,
  )
  t.deepEqual(
    missing.map(({ name }) => name),
    ['b', 'c'],
  )
  t.deepEqual(missingAcknowledgements([], one.digest), [])
})
