import test from 'ava'
import { chmod, cp, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { keysAdopt } from '../../src/admin/keys/adopt.ts'
import { keysBackup, keysRestore } from '../../src/admin/keys/backup.ts'
import { keysActivate, keysStage } from '../../src/admin/keys/change.ts'
import { keysDestroy } from '../../src/admin/keys/destroy.ts'
import { keysRetire } from '../../src/admin/keys/retire.ts'
import { keysInit } from '../../src/admin/keys/init.ts'
import { keysList } from '../../src/admin/keys/list.ts'
import { keysRewrap } from '../../src/admin/keys/rewrap.ts'
import type { LatchkeyError } from '../../src/base/errors.ts'
import type { KeyState } from '../../src/keyring/key.ts'
import { recordedContext, type RecordedContext } from '../support/admin-context.ts'

const flags = { keyring: 'keyring', root: ['file:root'] }

interface Listing {
  generation: number
  clusterId: string
  keys: { id: string; state: KeyState }[]
  slots: { type: string }[]
}

async function list(context: RecordedContext, of = flags): Promise<Listing> {
  await keysList(context, { ...of, output: 'json' })
  return JSON.parse(context.data.pop() ?? '') as Listing
}

async function initialised(context: RecordedContext): Promise<string> {
  await keysInit(context, { ...flags, clusterId: 'prod' })
  return context.data.pop() ?? ''
}

test('init makes a keyring and a root file that only its owner reads, and prints the key id', async (t) => {
  const context = await recordedContext(t)
  const id = await initialised(context)
  t.regex(id, /^lk1\.1\.[A-Za-z0-9_-]{22}$/)
  const root = await stat(context.path('root'))
  t.is(root.mode & 0o777, 0o400)
  t.is(root.size, 32)
  t.like(await list(context), { generation: 1, clusterId: 'prod', keys: [{ id, state: 'active' }] })
})

test('init refuses an existing keyring, and the place of one that is gone', async (t) => {
  const context = await recordedContext(t)
  await initialised(context)
  await t.throwsAsync(initialised(context), { code: 'ERR_KEYRING_EXISTS' })
  const { unlink } = await import('node:fs/promises')
  await unlink(context.path('keyring/keyring.0000000001'))
  await t.throwsAsync(initialised(context), { code: 'ERR_KEYRING_EXISTS', message: /is gone/ })
})

test('init uses a root file that is there, and leaves it as it is', async (t) => {
  const context = await recordedContext(t)
  await writeFile(context.path('root'), Buffer.alloc(32, 9), { mode: 0o400 })
  await initialised(context)
  t.deepEqual(await readFile(context.path('root')), Buffer.alloc(32, 9))
})

test('a key goes from staged to destroyed, one generation a step', async (t) => {
  const context = await recordedContext(t)
  const first = await initialised(context)
  await keysStage(context, flags)
  const second = context.data.pop() ?? ''
  const states = async (): Promise<KeyState[]> => (await list(context)).keys.map((key) => key.state)
  t.deepEqual(await states(), ['active', 'staged'])
  await t.throwsAsync(keysStage(context, flags), { code: 'ERR_KEY_STATE' })
  await keysActivate(context, flags)
  t.is(context.data.pop(), second)
  t.deepEqual(await states(), ['superseded', 'active'])
  await t.throwsAsync(keysActivate(context, flags), { code: 'ERR_KEY_STATE' })
  const removal = { ...flags, id: first, yes: true, unproven: false, compact: false }
  await t.throwsAsync(keysDestroy(context, undefined, removal), { code: 'ERR_WOULD_LOSE_DATA' })
  await t.throwsAsync(keysRetire(context, undefined, removal), {
    code: 'ERR_WOULD_LOSE_DATA',
  })
  await keysRetire(context, undefined, { ...removal, unproven: true })
  t.deepEqual(await states(), ['retired', 'active'])
  await t.throwsAsync(keysDestroy(context, undefined, removal), { code: 'ERR_WOULD_LOSE_DATA' })
  await keysDestroy(context, undefined, { ...removal, unproven: true })
  t.deepEqual(await states(), ['destroyed', 'active'])
  t.is((await list(context)).generation, 5)
})

test('what takes something away asks, and changes nothing without agreement', async (t) => {
  const nobody = await recordedContext(t)
  const first = await initialised(nobody)
  await keysStage(nobody, flags)
  await keysActivate(nobody, flags)
  const removal = { ...flags, id: first, yes: false, unproven: true }
  await t.throwsAsync(keysRetire(nobody, undefined, removal), { code: 'ERR_USAGE' })
  const refusing = { ...nobody, terminal: { ...nobody.terminal, interactive: true } }
  await t.throwsAsync(keysRetire(refusing, undefined, removal), { code: 'ERR_ABORTED' })
  const gone = { ...refusing.terminal, ask: () => Promise.reject(new Error('Aborted with Ctrl+D')) }
  await t.throwsAsync(keysRetire({ ...refusing, terminal: gone }, undefined, removal), {
    code: 'ERR_ABORTED',
    message: /nothing was changed/,
  })
  t.is((await list(nobody)).generation, 3)
  const agreeing = { ...refusing, terminal: { ...refusing.terminal, ask: async () => 'yes' } }
  await keysRetire(agreeing, undefined, removal)
  t.true(nobody.said.some((line) => line.includes('Not known here')))
  t.is((await list(nobody)).generation, 4)
})

test('the active key can be neither retired nor destroyed; an unknown id is told', async (t) => {
  const context = await recordedContext(t)
  const id = await initialised(context)
  const removal = { ...flags, id, yes: true, unproven: true, compact: false }
  await t.throwsAsync(keysRetire(context, undefined, removal), { code: 'ERR_WOULD_LOSE_DATA' })
  await t.throwsAsync(keysDestroy(context, undefined, removal), { code: 'ERR_WOULD_LOSE_DATA' })
  await t.throwsAsync(keysDestroy(context, undefined, { ...removal, id: 'lk1.9.x' }), {
    code: 'ERR_KEY_UNKNOWN',
  })
})

test('rewrap adds a root beside the first, then makes another the only one', async (t) => {
  const context = await recordedContext(t)
  await initialised(context)
  await writeFile(context.path('pass'), 'correct horse battery staple\n', { mode: 0o600 })
  const none = { newRoot: [], addRoot: [] }
  await t.throwsAsync(keysRewrap(context, { ...flags, ...none }), { code: 'ERR_USAGE' })
  await keysRewrap(context, { ...flags, ...none, addRoot: ['passphrase:pass'] })
  const byPassphrase = { keyring: 'keyring', root: ['passphrase:pass'] }
  t.deepEqual(
    (await list(context, byPassphrase)).slots.map(({ type }) => type),
    ['file', 'passphrase'],
  )
  await keysRewrap(context, { ...byPassphrase, ...none, newRoot: ['file:other'] })
  t.true(context.said.some((line) => line.includes('latchkey-kms before it restarts')))
  await t.throwsAsync(list(context), { code: 'ERR_ROOT_WRONG' })
  await t.throwsAsync(list(context, byPassphrase), { code: 'ERR_ROOT_WRONG' })
  t.is((await list(context, { keyring: 'keyring', root: ['file:other'] })).generation, 3)
})

test('a backup restores the keyring with neither directory nor root', async (t) => {
  const context = await recordedContext(t)
  const id = await initialised(context)
  await writeFile(context.path('pass'), 'correct horse battery staple', { mode: 0o600 })
  const backup = { ...flags, out: 'backup', passphraseFile: 'pass' }
  await keysBackup(context, backup)
  t.is((await stat(context.path('backup'))).mode & 0o777, 0o600)
  await t.throwsAsync(keysBackup(context, backup), { code: 'ERR_USAGE' })
  const fresh = { keyring: 'restored', root: ['file:fresh'] }
  await keysRestore(context, { ...fresh, from: 'backup', passphraseFile: 'pass' })
  t.like(await list(context, fresh), { generation: 2, keys: [{ id, state: 'active' }] })
  await t.throwsAsync(keysRestore(context, { ...fresh, from: 'backup', passphraseFile: 'pass' }), {
    code: 'ERR_KEYRING_EXISTS',
  })
})

test('a backup does not open with another passphrase, and is not a keyring', async (t) => {
  const context = await recordedContext(t)
  await initialised(context)
  await writeFile(context.path('pass'), 'one', { mode: 0o600 })
  await writeFile(context.path('other'), 'two', { mode: 0o600 })
  await keysBackup(context, { ...flags, out: 'backup', passphraseFile: 'pass' })
  const restore = { keyring: 'restored', root: ['file:fresh'], from: 'backup' }
  await t.throwsAsync(keysRestore(context, { ...restore, passphraseFile: 'other' }), {
    code: 'ERR_BACKUP_PASSPHRASE',
  })
  await t.throwsAsync(keysRestore(context, { ...restore, from: 'root', passphraseFile: 'pass' }), {
    code: 'ERR_KEYRING_FOREIGN',
  })
})

test('a passphrase file that others can read is named, a root file that others can read refused', async (t) => {
  const context = await recordedContext(t)
  await initialised(context)
  await writeFile(context.path('pass'), 'one')
  await chmod(context.path('pass'), 0o644)
  await keysBackup(context, { ...flags, out: 'backup', passphraseFile: 'pass' })
  t.regex(context.warned.join(), /can be read by others: chmod 0600/)
  await chmod(context.path('root'), 0o440)
  await t.throwsAsync(list(context), { code: 'ERR_ROOT_UNSAFE' })
})

test('adopt says when what this node has used is in neither side', async (t) => {
  const context = await recordedContext(t)
  await initialised(context)
  await keysStage(context, flags)
  const older = await readFile(context.path('keyring/keyring.0000000002'))
  await keysActivate(context, flags)
  const newer = await readFile(context.path('keyring/keyring.0000000003'))
  const adopt = { ...flags, fromRoot: [], passphraseFile: undefined, yes: true }
  const missing = (): boolean => context.said.some((line) => line.startsWith('Missing: '))
  await mkdir(context.path('copy'), { mode: 0o700 })
  await writeFile(context.path('copy/keyring.0000000001'), newer, { mode: 0o600 })
  await writeFile(context.path('keyring/keyring.0000000003'), older, { mode: 0o600 })
  await keysAdopt(context, { ...adopt, from: 'copy' })
  t.false(missing())
  await writeFile(context.path('keyring/keyring.0000000004'), older, { mode: 0o600 })
  await keysAdopt(context, { ...adopt, from: 'keyring' })
  t.true(missing())
})

test('adopt refuses what would open something else than it is given', async (t) => {
  const context = await recordedContext(t)
  await initialised(context)
  await cp(context.path('keyring'), context.path('copy'), { recursive: true })
  await writeFile(context.path('phrase'), 'correct horse battery', { mode: 0o600 })
  await keysBackup(context, { ...flags, out: 'backup', passphraseFile: 'phrase' })
  const adopt = { ...flags, fromRoot: [], passphraseFile: undefined, yes: true }
  for (const [other, named] of [
    [{ ...adopt, from: 'copy', passphraseFile: 'phrase' }, /^--passphrase-file/],
    [{ ...adopt, from: 'copy', share: ['a.txt'] }, /--share/],
    [{ ...adopt, from: 'backup', passphraseFile: 'phrase', fromRoot: flags.root }, /^--from-root/],
  ] as const) {
    const error = await t.throwsAsync(keysAdopt(context, other), { code: 'ERR_USAGE' })
    t.regex(error.message, named)
  }
  await keysAdopt(context, { ...adopt, from: 'copy' })
  await keysAdopt(context, { ...adopt, from: 'backup', passphraseFile: 'phrase' })
})

test('adopt into the place of a keyring that is gone does not advise a new one', async (t) => {
  const context = await recordedContext(t)
  await initialised(context)
  await cp(context.path('keyring'), context.path('copy'), { recursive: true })
  await rm(context.path('keyring/keyring.0000000001'))
  const adopt = { ...flags, from: 'copy', fromRoot: [], passphraseFile: undefined, yes: true }
  const error = await t.throwsAsync<LatchkeyError>(keysAdopt(context, adopt), {
    code: 'ERR_KEYRING_NOT_FOUND',
  })
  t.regex(error.hint ?? '', /^put the keyring files back/)
})

test('adopt merges two keyrings made apart, and goes above a rollback', async (t) => {
  const context = await recordedContext(t)
  const mine = await initialised(context)
  const apart = { keyring: 'apart', root: ['file:root2'] }
  await keysInit(context, { ...apart, clusterId: 'elsewhere' })
  const theirs = context.data.pop() ?? ''
  const adopt = { ...flags, from: 'apart', fromRoot: apart.root, passphraseFile: undefined }
  await t.throwsAsync(keysAdopt(context, { ...adopt, yes: false }), { code: 'ERR_USAGE' })
  await keysAdopt(context, { ...adopt, yes: true })
  t.is(context.data.pop(), theirs)
  t.deepEqual(
    (await list(context)).keys.map(({ id, state }) => [id, state]),
    [
      [mine, 'active'],
      [theirs, 'superseded'],
    ],
  )
  const older = await readFile(context.path('keyring/keyring.0000000002'))
  await keysStage(context, flags)
  await writeFile(context.path('keyring/keyring.0000000009'), older)
  await t.throwsAsync(list(context), { code: 'ERR_KEYRING_ROLLED_BACK' })
  await keysAdopt(context, { ...adopt, yes: true })
  t.is((await list(context)).generation, 4)
})
