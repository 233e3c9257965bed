import test from 'ava'
import { copyFile, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { keysAdopt } from '../../src/admin/keys/adopt.ts'
import { keysBackup, keysRestore } from '../../src/admin/keys/backup.ts'
import { keysInit } from '../../src/admin/keys/init.ts'
import { keysList } from '../../src/admin/keys/list.ts'
import { keysShares } from '../../src/admin/keys/shares.ts'
import { recordedContext, type RecordedContext } from '../support/admin-context.ts'

const flags = { keyring: 'keyring', root: ['file:root'] }
const split = { count: 5, threshold: 3, directory: 'shares' }

/** A keyring with a backup in five shares, three of which open it; returns the shares' paths. */
async function backedUp(
  context: RecordedContext,
  options: { readonly passphraseFile?: string } = {},
): Promise<readonly string[]> {
  await keysInit(context, { ...flags, clusterId: 'prod' })
  context.data.length = 0
  await keysBackup(context, { ...flags, out: 'backup', split, ...options })
  return context.data.splice(0)
}

const keysOf = async (
  context: RecordedContext,
  keyring: string,
  root: string,
): Promise<unknown> => {
  await keysList(context, { keyring, root: [root], output: 'json' })
  return (JSON.parse(context.data.pop() ?? '') as { keys: unknown }).keys
}

test('a backup in shares: five files that only their owner reads, three of which restore it', async (t) => {
  const context = await recordedContext(t)
  const shares = await backedUp(context)
  t.is(shares.length, 5)
  t.deepEqual(
    (await readdir(context.path('shares'))).sort(),
    shares.map((it) => basename(it)).sort(),
  )
  for (const path of [...shares, context.path('backup')]) {
    t.is((await stat(path)).mode & 0o777, 0o600)
  }
  t.is((await stat(context.path('shares'))).mode & 0o777, 0o700)
  const [, two, , four, five] = shares as [string, string, string, string, string]
  const restored = { keyring: 'restored', root: ['file:new-root'], from: 'backup' }
  const few = keysRestore(context, { ...restored, share: [two, five] })
  await t.throwsAsync(few, { code: 'ERR_SHARES_TOO_FEW', message: /^2 of the 3 shares/ })
  await keysRestore(context, { ...restored, share: [five, two, four] })
  t.deepEqual(
    await keysOf(context, 'restored', 'file:new-root'),
    await keysOf(context, 'keyring', 'file:root'),
  )
  t.false(context.said.join('\n').includes(await readFile(two, 'utf8')))
})

test('with a passphrase too, either opens it; one way is named, not both and not none', async (t) => {
  const context = await recordedContext(t)
  await writeFile(context.path('pass'), 'correct horse battery staple\n', { mode: 0o600 })
  const share = (await backedUp(context, { passphraseFile: 'pass' })).slice(2)
  const to = (keyring: string) => ({ keyring, root: [`file:${keyring}-root`], from: 'backup' })
  await keysRestore(context, { ...to('a'), share })
  await keysRestore(context, { ...to('b'), passphraseFile: 'pass' })
  const usage = { code: 'ERR_USAGE' }
  await t.throwsAsync(keysRestore(context, { ...to('c'), passphraseFile: 'pass', share }), usage)
  await t.throwsAsync(keysRestore(context, to('c')), usage)
  await t.throwsAsync(keysBackup(context, { ...flags, out: 'other' }), usage)
})

test('a wrong and a foreign share are named, and the backup that has none says so', async (t) => {
  const context = await recordedContext(t)
  const other = await recordedContext(t)
  const shares = await backedUp(context)
  const [foreign = ''] = await backedUp(other)
  await copyFile(foreign, context.path('usb'))
  const [one = '', two = '', three = ''] = shares
  const text = await readFile(three, 'utf8')
  await writeFile(context.path('typed'), text.replace(/^(2 .*)[A-Z0-9]$/m, '$1U'), { mode: 0o600 })
  const restore = { keyring: 'restored', root: ['file:new-root'], from: 'backup' }
  await t.throwsAsync(keysRestore(context, { ...restore, share: [one, two, 'usb'] }), {
    code: 'ERR_SHARE_FOREIGN',
    message: /share 1 of group [0-9a-f]{16} \(usb\) belongs to another backup/,
  })
  await t.throwsAsync(keysRestore(context, { ...restore, share: [one, two, 'typed'] }), {
    code: 'ERR_SHARE_INVALID',
    message: /^typed, line \d+: /,
  })
  await t.throwsAsync(keysRestore(context, { ...restore, share: [one, two, 'nowhere'] }), {
    code: 'ERR_ROOT_NOT_FOUND',
  })
  await writeFile(context.path('pass'), 'correct horse battery staple\n', { mode: 0o600 })
  await keysBackup(context, { ...flags, out: 'by-passphrase', passphraseFile: 'pass' })
  await t.throwsAsync(keysRestore(context, { ...restore, from: 'by-passphrase', share: shares }), {
    code: 'ERR_SHARE_FOREIGN',
    message: /made without shares/,
  })
  t.deepEqual(
    (await readdir(context.cwd)).filter((name) => name === 'restored'),
    [],
  )
})

test('each holder can try a share alone', async (t) => {
  const context = await recordedContext(t)
  const [one = '', two = ''] = await backedUp(context)
  const other = await recordedContext(t)
  const [foreign = ''] = await backedUp(other)
  t.true(await keysShares(context, { from: 'backup', share: [one, two], output: 'table' }))
  t.deepEqual(
    context.data.splice(0).map((line) => line.split(/ {2,}/).at(2)),
    ['STATE', 'good', 'good'],
  )
  t.false(await keysShares(context, { from: 'backup', share: [one, foreign, one], output: 'json' }))
  const { shares } = JSON.parse(context.data.pop() ?? '') as { shares: { state: string }[] }
  t.deepEqual(
    shares.map(({ state }) => state),
    ['good', 'foreign', 'repeated'],
  )
})

test('neither a backup nor a share is overwritten, and numbers that make no sense are refused', async (t) => {
  const context = await recordedContext(t)
  await backedUp(context)
  const usage = { code: 'ERR_USAGE' }
  await t.throwsAsync(keysBackup(context, { ...flags, out: 'backup', split }), usage)
  t.is((await readdir(context.path('shares'))).length, 5)
  const bad = { ...split, threshold: 6, directory: 'more' }
  await t.throwsAsync(keysBackup(context, { ...flags, out: 'other', split: bad }), usage)
  t.false((await readdir(context.cwd)).includes('more'))
})

test('a backup is adopted with shares; a share that others may write is not trusted', async (t) => {
  const context = await recordedContext(t)
  const share = (await backedUp(context)).slice(0, 3)
  await keysAdopt(context, {
    ...flags,
    from: 'backup',
    fromRoot: [],
    passphraseFile: undefined,
    share,
    yes: true,
  })
  const { chmod } = await import('node:fs/promises')
  const [one = ''] = share
  await chmod(one, 0o644)
  await keysShares(context, { from: 'backup', share, output: 'table' })
  t.is(context.warned.filter((line) => line.includes('can be read by others')).length, 1)
  await chmod(one, 0o666)
  await t.throwsAsync(keysShares(context, { from: 'backup', share, output: 'table' }), {
    code: 'ERR_ROOT_UNSAFE',
  })
})
