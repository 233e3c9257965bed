import test from 'ava'
import { keysActivate, keysStage } from '../../src/admin/keys/change.ts'
import { keysInit } from '../../src/admin/keys/init.ts'
import { Journal } from '../../src/admin/keys/rotate/journal.ts'
import { BackupRegister } from '../../src/admin/backup/register.ts'
import { status, type Status } from '../../src/admin/status/status.ts'
import { warningsOf } from '../../src/admin/status/warnings.ts'
import { recordedContext, type RecordedContext } from '../support/admin-context.ts'

const dayMs = 86_400_000
const keys = { keyring: 'keyring', root: ['file:root'] }
const flags = { keyring: 'keyring', maxKeyAgeDays: 90 }

async function seen(context: RecordedContext, wellExpected: boolean): Promise<Status> {
  const well = await status(context, { ...flags, output: 'json' })
  if (well !== wellExpected) throw new Error(`status returned ${well}`)
  return JSON.parse(context.data.pop() ?? '') as Status
}

test('a fresh keyring: everything told, nothing to warn of, and no root asked for', async (t) => {
  const context = await recordedContext(t)
  await keysInit(context, { ...keys, clusterId: 'prod' })
  const id = context.data.pop() ?? ''
  const found = await seen(context, true)
  t.like(found, {
    clusterId: 'prod',
    generation: 1,
    stagedKey: null,
    formerKeys: { superseded: 0, retired: 0, destroyed: 0 },
    rotation: null,
    nodes: null,
    snapshots: { total: 0, keys: 0 },
    warnings: [],
  })
  t.is(found.activeKey.id, id)
  t.is(found.activeKey.sinceDays, 0)
})

test('an old key, a staged one, and a rotation that stopped half-way are warned of', async (t) => {
  let now = Date.parse('2026-01-01T00:00:00Z')
  const context = await recordedContext(t, { nowMs: () => now })
  await keysInit(context, { ...keys, clusterId: 'prod' })
  const former = context.data.pop() ?? ''
  now += 90 * dayMs
  t.deepEqual((await seen(context, true)).warnings, [], 'as old as is allowed')
  now += dayMs
  t.regex((await seen(context, false)).warnings[0]?.message ?? '', /active for 91 days, and 90/)

  await keysStage(context, keys)
  const staged = await seen(context, false)
  t.is(staged.stagedKey?.id, context.data.pop())
  t.is(staged.warnings.length, 2)

  const annex = await context.openAnnex(keys.keyring)
  await new Journal(annex, context.now).add('r1', { what: 'begun', former, generation: 1 })
  const begun = await seen(context, false)
  t.deepEqual(begun.rotation, { since: '2026-04-02T00:00:00Z', keyId: null })
  t.regex(begun.warnings[0]?.remedy ?? '', /keys rotate/)

  await new Journal(annex, context.now).add('r1', { what: 'finished' })
  await keysActivate(context, keys)
  const after = await seen(context, true)
  t.deepEqual(after.formerKeys, { superseded: 1, retired: 0, destroyed: 0 })
})

test('registered snapshots are counted, with the keys that they keep', async (t) => {
  const context = await recordedContext(t)
  await keysInit(context, { ...keys, clusterId: 'prod' })
  const register = new BackupRegister(await context.openAnnex(keys.keyring))
  const entry = { digest: 'sha256:0', bytes: 1, revision: 7, registeredAt: '2026-01-01T00:00:00Z' }
  await register.add({ ...entry, name: 'monday', keyIds: ['a', 'b'] })
  await register.add({ ...entry, name: 'tuesday', digest: 'sha256:1', keyIds: ['b'] })
  t.deepEqual((await seen(context, true)).snapshots, { total: 2, keys: 2 })
})

test('nodes that lag behind, and nodes that are silent, are each named once', async (t) => {
  const context = await recordedContext(t)
  await keysInit(context, { ...keys, clusterId: 'prod' })
  const calm = await seen(context, true)
  const nodes = { total: 3, silent: ['cp-2', 'cp-3'], behind: ['cp-2'] }
  const warnings = warningsOf({ ...calm, nodes }, flags)
  t.deepEqual(
    warnings.map(({ message }) => message),
    ['cp-2 has not loaded generation 1', 'cp-3 gives no sign of life'],
  )
  t.true(warnings.every(({ remedy }) => remedy !== ''))
})

test('as a table: two columns, and the warnings beside them', async (t) => {
  let now = Date.parse('2026-01-01T00:00:00Z')
  const context = await recordedContext(t, { nowMs: () => now })
  await keysInit(context, { ...keys, clusterId: 'prod' })
  context.data.pop()
  now += 100 * dayMs
  context.said.length = 0
  t.false(await status(context, { ...flags, output: 'table' }))
  t.regex(context.data.join('\n'), /^active key +lk1\.1\.\S+, 100d$/m)
  t.is(context.said.length, 1)
  t.regex(context.said[0] ?? '', /^warning: the active key has been active for 100 days/)
})

test('a keyring that is not there is said, with what to do', async (t) => {
  const context = await recordedContext(t)
  const run = status(context, { ...flags, output: 'json' })
  await t.throwsAsync(run, { code: 'ERR_KEYRING_NOT_FOUND' })
})
