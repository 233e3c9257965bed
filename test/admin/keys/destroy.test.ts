import test, { type ExecutionContext } from 'ava'
import { BackupRegister } from '../../../src/admin/backup/register.ts'
import { keysActivate, keysStage } from '../../../src/admin/keys/change.ts'
import { keysDestroy, type DestroyFlags } from '../../../src/admin/keys/destroy.ts'
import { keysInit } from '../../../src/admin/keys/init.ts'
import { LatchkeyError } from '../../../src/base/errors.ts'
import { Proofs } from '../../../src/admin/keys/proofs.ts'
import { keysRetire } from '../../../src/admin/keys/retire.ts'
import { recordedContext, type RecordedContext } from '../../support/admin-context.ts'
import { fakeProvingEtcd, type FakeProvingEtcd } from '../../support/proving-etcd.ts'

const keyring = { keyring: 'keyring', root: ['file:root'] }

interface Lab {
  readonly context: RecordedContext
  readonly etcd: FakeProvingEtcd
  readonly old: string
  readonly active: string
  readonly flags: DestroyFlags
  readonly clock: { ms: number }
}

/** A keyring with a superseded key and an active one, and an etcd with objects under the latter. */
async function lab(t: ExecutionContext): Promise<Lab> {
  const clock = { ms: Date.parse('2026-01-02T03:04:05Z') }
  const context = await recordedContext(t, { nowMs: () => clock.ms })
  await keysInit(context, { ...keyring, clusterId: 'prod' })
  const old = context.data.pop() ?? ''
  await keysStage(context, keyring)
  await keysActivate(context, keyring)
  const active = context.data.pop() ?? ''
  clock.ms += 300_000
  const etcd = fakeProvingEtcd()
  etcd.store('db', active)
  const flags = { ...keyring, id: old, yes: true, unproven: false, compact: false }
  return { context, etcd, old, active, flags, clock }
}

test('retire looks into etcd: what needs the key is named, and nothing is changed', async (t) => {
  const { context, etcd, old, flags } = await lab(t)
  etcd.store('forgotten', old)
  await t.throwsAsync(keysRetire(context, etcd, flags), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /1 object\(s\) in etcd need key .*secrets\/shop\/forgotten/,
  })
  await t.throwsAsync(keysRetire(context, undefined, flags), { code: 'ERR_WOULD_LOSE_DATA' })
  etcd.remove('forgotten')
  await keysRetire(context, etcd, flags)
  t.is(context.data.pop(), old)
})

test('destroy waits for a compaction beyond a moment at which nothing needed the key', async (t) => {
  const { context, etcd, old, flags } = await lab(t)
  await keysRetire(context, etcd, flags)
  const proved = etcd.revision()
  etcd.compactTo(proved - 1)
  await t.throwsAsync(keysDestroy(context, etcd, flags), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /still keeps revisions/,
  })
  etcd.compactTo(proved)
  context.data.length = 0
  await keysDestroy(context, etcd, flags)
  t.deepEqual(context.data, [old])
})

test('a key that is destroyed is said to be, though its proofs cannot be tidied away', async (t) => {
  const { context, old, flags } = await lab(t)
  await keysRetire(context, undefined, { ...flags, unproven: true })
  context.data.length = 0
  let lists = 0
  const openAnnex: typeof context.openAnnex = async (...named) => {
    const annex = await context.openAnnex(...named)
    return {
      ...annex,
      list: async (kind) => {
        lists += 1
        if (kind === 'proof') throw new LatchkeyError('ERR_ETCD_UNAVAILABLE', 'etcd is away')
        return annex.list(kind)
      },
    }
  }
  await keysDestroy({ ...context, openAnnex }, undefined, { ...flags, unproven: true })
  t.true(lists > 0)
  t.deepEqual(context.data, [old])
  t.true(context.said.some((line) => line.startsWith('warning: ') && line.includes('etcd is away')))
})

test('a proof from before etcd was taken back waits for nobody: a new one is made', async (t) => {
  const { context, etcd, old, flags } = await lab(t)
  await keysRetire(context, etcd, flags)
  etcd.takeBackTo(50)
  await t.throwsAsync(keysDestroy(context, etcd, flags), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /still keeps revisions/,
  })
  etcd.compactTo(50)
  await keysDestroy(context, etcd, flags)
  t.is(context.data.pop(), old)
})

test('destroy compacts when told to', async (t) => {
  const { context, etcd, old, flags } = await lab(t)
  await keysRetire(context, undefined, { ...flags, unproven: true })
  await t.throwsAsync(keysDestroy(context, etcd, flags), { code: 'ERR_WOULD_LOSE_DATA' })
  await keysDestroy(context, etcd, { ...flags, compact: true })
  t.is(etcd.compacted(), etcd.revision())
  t.is(context.data.pop(), old)
})

test('a proof of another etcd, as a restored one is, proves nothing', async (t) => {
  const { context, etcd, active, flags } = await lab(t)
  await keysRetire(context, etcd, flags)
  const restored = fakeProvingEtcd(8)
  restored.store('db', active)
  restored.compactTo(etcd.revision())
  for (let index = 0; index < 5; index += 1) restored.store(`later-${index}`, active)
  await t.throwsAsync(keysDestroy(context, restored, flags), { code: 'ERR_WOULD_LOSE_DATA' })
})

test('objects of KMS v1 that need the key are counted', async (t) => {
  const { context, etcd, old, flags } = await lab(t)
  await keysRetire(context, undefined, { ...flags, unproven: true })
  etcd.store('ancient', old, 1)
  await t.throwsAsync(keysDestroy(context, etcd, { ...flags, compact: true }), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /1 of them by KMS v1/,
  })
  t.is(etcd.compacted(), 0)
})

test('a registered snapshot that needs the key keeps it, also on one’s own word', async (t) => {
  const { context, etcd, old, flags } = await lab(t)
  await keysRetire(context, etcd, flags)
  const register = new BackupRegister(await context.openAnnex('keyring'))
  const entry = {
    name: 'monday.db',
    digest: `sha256:${'0'.repeat(64)}`,
    bytes: 1,
    revision: 90,
    keyIds: [old],
    registeredAt: '2026-01-02T03:04:05Z',
  }
  await register.add(entry)
  for (const unproven of [false, true]) {
    await t.throwsAsync(keysDestroy(context, etcd, { ...flags, compact: true, unproven }), {
      code: 'ERR_WOULD_LOSE_DATA',
      message: /monday\.db/,
    })
  }
  t.deepEqual(await register.add(entry), entry)
  await t.throwsAsync(register.add({ ...entry, digest: `sha256:${'1'.repeat(64)}` }), {
    code: 'ERR_USAGE',
  })
  await register.remove('monday.db')
  await t.throwsAsync(register.remove('monday.db'), { code: 'ERR_USAGE' })
  await keysDestroy(context, etcd, { ...flags, compact: true })
  t.true(context.said.some((line) => line.includes('Copies that remain')))
})

test('an etcd in which nothing of ours is found proves nothing', async (t) => {
  const { context, etcd, old, active, flags } = await lab(t)
  const nothing = { code: 'ERR_WOULD_LOSE_DATA', message: /proves nothing/ } as const
  await t.throwsAsync(keysRetire(context, fakeProvingEtcd(), flags), nothing)
  // The right etcd under the wrong prefix: what is there is seen all the same.
  await t.throwsAsync(keysRetire(context, { ...etcd, prefix: '/kubernetes.io' }, flags), nothing)
  etcd.put('/kubernetes.io/secrets/shop/other', old)
  await t.throwsAsync(keysRetire(context, etcd, flags), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /1 object\(s\).*\/kubernetes\.io\/secrets\/shop\/other/,
  })
  etcd.put('/kubernetes.io/secrets/shop/other', active)
  await keysRetire(context, etcd, flags)
  t.is(context.data.pop(), old)
})

test('without a rotation’s proof destroy waits until no API server can be writing', async (t) => {
  const { context, etcd, old, flags, clock } = await lab(t)
  await keysRetire(context, etcd, flags)
  clock.ms -= 1_000
  await t.throwsAsync(keysDestroy(context, etcd, { ...flags, compact: true }), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /for 1 s more one may/,
  })
  t.is(etcd.compacted(), 0)
  const proofs = new Proofs(await context.openAnnex('keyring'), context.now)
  await proofs.add([old], [{ id: '7', revision: 1 }], { unwritten: true })
  await keysDestroy(context, etcd, { ...flags, compact: true })
  t.is(context.data.pop(), old)
})

test('destroy wants every etcd to be named that retire was shown', async (t) => {
  const { context, etcd, old, flags } = await lab(t)
  const events = fakeProvingEtcd(8)
  const both = { ...etcd, etcd: [...etcd.etcd, ...events.etcd] }
  await keysRetire(context, both, flags)
  events.store('late', old)
  const twice = { ...etcd, etcd: [...etcd.etcd, ...etcd.etcd] }
  for (const named of [etcd, twice]) {
    await t.throwsAsync(keysDestroy(context, named, { ...flags, compact: true }), {
      code: 'ERR_WOULD_LOSE_DATA',
      message: /1 etcd cluster\(s\) are named, and .* in 2/,
    })
  }
  events.remove('late')
  await keysDestroy(context, both, { ...flags, compact: true })
  t.is(context.data.pop(), old)
})

test('a registered snapshot that nobody can read may need any key', async (t) => {
  const { context, etcd, old, flags } = await lab(t)
  await keysRetire(context, etcd, flags)
  const register = new BackupRegister(await context.openAnnex('keyring'))
  await register.add({
    ...{ name: 'torn.db', digest: `sha256:${'0'.repeat(64)}`, bytes: 1, revision: 90 },
    ...{ keyIds: [], unreadable: 2, registeredAt: '2026-01-02T03:04:05Z' },
  })
  await t.throwsAsync(keysDestroy(context, etcd, { ...flags, compact: true }), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /torn\.db/,
  })
  await register.remove('torn.db')
  await keysDestroy(context, etcd, { ...flags, compact: true })
  t.is(context.data.pop(), old)
})

test('a staged key is given up without any proof', async (t) => {
  const { context, flags } = await lab(t)
  await keysStage(context, keyring)
  const staged = context.data.pop() ?? ''
  await keysDestroy(context, undefined, { ...flags, id: staged })
  t.is(context.data.pop(), staged)
})
