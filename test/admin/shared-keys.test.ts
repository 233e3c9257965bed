import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../src/base/clock.ts'
import { sha256Label } from '../../src/base/bytes.ts'
import type { AdminContext } from '../../src/admin/context.ts'
import { keysExport, keysImport } from '../../src/admin/keys/copy.ts'
import { keysActivate, keysStage } from '../../src/admin/keys/change.ts'
import { keysDestroy } from '../../src/admin/keys/destroy.ts'
import { keysInit } from '../../src/admin/keys/init.ts'
import { keysNodes, keysNodesRemove } from '../../src/admin/keys/nodes.ts'
import { checkMembers } from '../../src/admin/doctor/members-check.ts'
import { encodeAcknowledgement, encodeMember } from '../../src/keyring/stores/etcd-layout.ts'
import { etcdStore } from '../../src/keyring/stores/etcd.ts'
import { recordedContext, type RecordedContext } from '../support/admin-context.ts'
import { fakeEtcd, type FakeEtcd } from '../support/fake-etcd.ts'

const flags = { keyring: 'etcd:', root: ['file:root'] }
const at = '2026-01-02T03:04:05Z'

async function shared(t: ExecutionContext): Promise<RecordedContext & { readonly etcd: FakeEtcd }> {
  const context = await recordedContext(t)
  const etcd = fakeEtcd()
  const openStore: AdminContext['openStore'] = async (name, reach) =>
    name === 'etcd:'
      ? etcdStore({
          ...{ etcd: etcd.connect(), prefix: '/latchkey', clock: systemClock },
          ...{ localCopy: undefined, membership: undefined },
        })
      : await context.openStore(name, reach)
  const own = { ...context, openStore, etcd }
  await keysInit(own, { ...flags, clusterId: 'prod' })
  return own
}

function join(etcd: FakeEtcd, name: string, options: { readonly alive?: boolean } = {}): void {
  const record = encodeMember({ nodeId: name.padEnd(22, 'A'), joinedAt: at })
  etcd.put(`/latchkey/members/${name}`, Buffer.from(record).toString())
  if (options.alive !== false) etcd.put(`/latchkey/alive/${name}`, '{}')
}

function acknowledge(etcd: FakeEtcd, name: string, generation: number): void {
  const digest = sha256Label(Buffer.from(etcd.get('/latchkey/keyring') ?? ''))
  const said = encodeAcknowledgement({ bootId: 'B'.repeat(22), generation, digest, at })
  etcd.put(`/latchkey/acknowledged/${name}`, Buffer.from(said).toString())
}

test('activate names every node that lacks the staged key, alive or not, and what to do', async (t) => {
  const context = await shared(t)
  const { etcd } = context
  for (const name of ['cp-1', 'cp-2']) join(etcd, name)
  join(etcd, 'cp-3', { alive: false })
  for (const name of ['cp-1', 'cp-2', 'cp-3']) acknowledge(etcd, name, 1)
  await keysStage(context, flags)
  acknowledge(etcd, 'cp-1', 2)
  const before = etcd.get('/latchkey/keyring')
  const error = await t.throwsAsync(keysActivate(context, flags), { code: 'ERR_WOULD_LOSE_DATA' })
  t.regex(error.message, /cp-2 \(alive, has generation 1\), cp-3 \(not alive, has generation 1\)/)
  t.notRegex(error.message, /cp-1/)
  t.regex(String((error as { hint?: string }).hint), /start cp-3 again.*nodes remove/)
  t.is(etcd.get('/latchkey/keyring'), before)
  acknowledge(etcd, 'cp-2', 2)
  await t.throwsAsync(keysActivate(context, flags), { code: 'ERR_WOULD_LOSE_DATA' })
  await keysNodesRemove(context, { ...flags, name: 'cp-3', yes: true })
  await keysActivate(context, flags)
  t.not(etcd.get('/latchkey/keyring'), before)
})

test('a member that has never said anything blocks as well', async (t) => {
  const context = await shared(t)
  join(context.etcd, 'cp-1')
  await keysStage(context, flags)
  await t.throwsAsync(keysActivate(context, flags), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /cp-1 \(alive, has none\)/,
  })
})

test('where no node has joined, nobody would be seen to lack a key', async (t) => {
  const context = await shared(t)
  await keysStage(context, flags)
  await t.throwsAsync(keysActivate(context, flags), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /no node has joined/,
  })
})

test('where nodes have used a keyring that is gone, no other is made', async (t) => {
  const context = await shared(t)
  const { etcd } = context
  join(etcd, 'cp-1')
  acknowledge(etcd, 'cp-1', 1)
  await etcd
    .connect()
    .transact({ compare: [], success: [{ delete: { key: '/latchkey/keyring' } }] })
  await t.throwsAsync(keysInit(context, { ...flags, clusterId: 'prod' }), {
    code: 'ERR_KEYRING_EXISTS',
    message: /is gone, and cp-1 used it/,
  })
  t.is(etcd.get('/latchkey/keyring'), undefined)
})

test('a staged key stays while a node knows of a later generation', async (t) => {
  const context = await shared(t)
  const { etcd } = context
  join(etcd, 'cp-1')
  await keysStage(context, flags)
  const staged = context.data.pop() ?? ''
  const older = etcd.get('/latchkey/keyring') ?? ''
  acknowledge(etcd, 'cp-1', 2)
  await keysActivate(context, flags)
  acknowledge(etcd, 'cp-1', 3)
  // etcd is restored from a snapshot, and the node says again what it serves.
  etcd.put('/latchkey/keyring', older)
  const destroy = { ...flags, id: staged, yes: true, unproven: false, compact: false }
  await t.throwsAsync(keysDestroy(context, undefined, destroy), {
    code: 'ERR_KEYRING_ROLLED_BACK',
    message: /at generation 2, but cp-1 has acknowledged generation 3/,
  })
  t.is(etcd.get('/latchkey/keyring'), older)
})

test('nodes lists who has loaded what', async (t) => {
  const context = await shared(t)
  const { etcd } = context
  join(etcd, 'cp-1')
  join(etcd, 'cp-2', { alive: false })
  acknowledge(etcd, 'cp-1', 1)
  await keysNodes(context, { ...flags, output: 'json' })
  t.like(JSON.parse(context.data.pop() ?? ''), {
    generation: 1,
    nodes: [
      { name: 'cp-1', alive: true, current: true, acknowledged: { generation: 1 } },
      { name: 'cp-2', alive: false, current: false, acknowledged: null },
    ],
  })
  await keysNodes(context, { ...flags, output: 'table' })
  t.regex(context.data.at(-2) ?? '', /^cp-1 +yes +1 +yes/)
  t.regex(context.data.at(-1) ?? '', /^cp-2 +no +- +no +-/)
  t.is(context.said.at(-1), 'generation 1; 2 node(s), 1 behind')
})

test('a node that lives is not removed, nor one without agreement, nor one that is none', async (t) => {
  const context = await shared(t)
  join(context.etcd, 'cp-1')
  const remove = (name: string, yes: boolean): Promise<void> =>
    keysNodesRemove(context, { ...flags, name, yes })
  await t.throwsAsync(remove('cp-1', true), { code: 'ERR_MEMBER_ALIVE' })
  await t.throwsAsync(remove('cp-1', false), { code: 'ERR_USAGE' })
  await t.throwsAsync(remove('cp-2', true), { code: 'ERR_MEMBER_NOT_FOUND' })
})

test('a keyring in a directory has no nodes', async (t) => {
  const context = await shared(t)
  const own = { ...flags, keyring: 'directory' }
  await t.throwsAsync(keysNodes(context, { ...own, output: 'json' }), { code: 'ERR_USAGE' })
})

test('export and import copy to the byte, and never over what is there', async (t) => {
  const context = await shared(t)
  await keysExport(context, { ...flags, to: 'copy' })
  const copied = await (await context.openStore('copy')).load()
  t.is(Buffer.from(copied?.bytes ?? []).toString(), context.etcd.get('/latchkey/keyring') ?? '?')
  const again = keysImport(context, { ...flags, from: 'copy' })
  await t.throwsAsync(again, { code: 'ERR_KEYRING_EXISTS' })
  await t.throwsAsync(keysExport(context, { ...flags, to: 'copy' }), { code: 'ERR_KEYRING_EXISTS' })
})

test('doctor tells of nodes that are behind or not alive', async (t) => {
  const context = await shared(t)
  const { etcd } = context
  const check = async () =>
    (await checkMembers(await context.openStore('etcd:'))).map(
      ({ level, message }) => `${level}: ${message}`,
    )
  t.deepEqual(await check(), ['warning: no node has joined'])
  join(etcd, 'cp-1')
  acknowledge(etcd, 'cp-1', 1)
  t.deepEqual(await check(), ['ok: 1 node(s), each alive with the current generation'])
  join(etcd, 'cp-2', { alive: false })
  t.regex((await check()).join(), /^warning: cp-2 is not alive and has not loaded/)
  acknowledge(etcd, 'cp-2', 1)
  t.deepEqual(await check(), ['warning: cp-2 is not alive'])
  join(etcd, 'cp-3')
  t.regex((await check()).join(), /cp-3 is alive and has not loaded/)
  etcd.put('/latchkey/members/cp-4', '{}')
  t.regex((await check()).join(), /^problem: .*members\/cp-4/)
})
